import { text } from "./text.js";

const heading = document.querySelector("h1");
heading.textContent = text;
window.loads = (window.loads ?? 0) + 1;

import.meta.hot.accept("./text.js", (changed) => {
  heading.textContent = changed.text;
});
