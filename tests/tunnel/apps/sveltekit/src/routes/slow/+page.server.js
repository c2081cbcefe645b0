/** Its rest is sent when it is released. */
export function load() {
  const rest = new Promise((resolve) => globalThis.release = () => resolve("the rest"));
  return { rest };
}
