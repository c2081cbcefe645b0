import assert from "node:assert/strict";
import fc from "fast-check";
import {
  type FolderPickerAction,
  folderPickerReducer,
  folderQuery,
  folderSuggestions,
  initialFolderPicker,
} from "./folder_completion.ts";

const known = { recent: ["/home/ana/src/shop"], roots: ["/home/ana"] };
const folders = ["src", "Sites", ".config", "notes"].map((name) => ({ name, isGitRepo: name === "src" }));

Deno.test("what is typed asks for the right folder", () => {
  assert.equal(folderQuery(""), null);
  assert.equal(folderQuery("src"), null);
  assert.deepEqual(folderQuery("/"), { parent: "/", prefix: "" });
  assert.deepEqual(folderQuery("/ho"), { parent: "/", prefix: "ho" });
  assert.deepEqual(folderQuery("/home/ana/"), { parent: "/home/ana", prefix: "" });
  assert.deepEqual(folderQuery("/home/ana", ["/home/ana"]), { parent: "/home/ana", prefix: "" }, "a root is listed");
  assert.equal(folderQuery("/home/a", ["/home/ana"]), null, "what is beside a root cannot be listed");
  assert.deepEqual(folderQuery("/srv/x", ["/home/ana"]), { parent: "/srv", prefix: "x" }, "the runner says why not");
  assert.deepEqual(folderQuery("/ho", ["/"]), { parent: "/", prefix: "ho" });
  assert.deepEqual(folderQuery("C:\\Us"), { parent: "C:\\", prefix: "Us" });
});

Deno.test("suggests by prefix, hides dot folders until asked, and offers earlier folders first when empty", () => {
  let state = initialFolderPicker("", known.roots);
  assert.deepEqual(folderSuggestions(state, known.recent).map((item) => item.source), ["recent", "root"]);
  state = folderPickerReducer(state, { type: "typed", text: "/home/ana/s" });
  state = folderPickerReducer(state, { type: "listed", parent: "/home/ana", folders });
  assert.deepEqual(folderSuggestions(state, known.recent).map((item) => item.path), [
    "/home/ana/src",
    "/home/ana/Sites",
    "/home/ana/src/shop",
  ]);
  state = folderPickerReducer(state, { type: "typed", text: "/home/ana/.c" });
  assert.deepEqual(folderSuggestions(state, known.recent).map((item) => item.path), ["/home/ana/.config"]);
});

Deno.test("a late answer for another folder changes nothing", () => {
  const state = folderPickerReducer(initialFolderPicker("", known.roots), { type: "typed", text: "/srv/" });
  assert.equal(folderPickerReducer(state, { type: "listed", parent: "/home/ana", folders }), state);
  assert.equal(folderPickerReducer(state, { type: "failed", parent: "/home", error: "no" }), state);
});

Deno.test("the highlight always lies on a suggestion", () => {
  const action: fc.Arbitrary<FolderPickerAction> = fc.oneof(
    fc.constantFrom<FolderPickerAction>({ type: "opened" }, { type: "closed" }),
    fc.constantFrom("", "/", "/home/ana/", "/home/ana/s").map((text) => ({ type: "typed", text }) as const),
    fc.constant({ type: "listed", parent: "/home/ana", folders } as const),
  );
  fc.assert(
    fc.property(fc.array(fc.oneof(action, fc.constantFrom("down", "up"))), (steps) => {
      let state = initialFolderPicker("", known.roots);
      for (const step of steps) {
        const count = folderSuggestions(state, known.recent).length;
        if (typeof step === "string") {
          state = folderPickerReducer(state, { type: "moved", by: step === "down" ? 1 : -1, count });
          assert.ok(state.active >= -1 && state.active < count);
        } else state = folderPickerReducer(state, step);
      }
    }),
  );
});
