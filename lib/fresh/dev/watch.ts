/** Editors write a file in several steps; changes this close together are one. */
const DEBOUNCE_MS = 50;

/** Calls `onChange` after files below `folders` changed; one call at a time. Folders that do not exist are left out. */
export function watchFolders(folders: string[], onChange: () => Promise<void>): Disposable {
  const existing = folders.filter((folder) => {
    try {
      return Deno.statSync(folder).isDirectory;
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return false;
      throw error;
    }
  });
  const watcher = existing.length === 0 ? null : Deno.watchFs(existing);
  const state: { timer?: ReturnType<typeof setTimeout>; running: Promise<void> } = { running: Promise.resolve() };
  const watch = async () => {
    for await (const event of watcher ?? []) {
      if (event.kind === "access") continue;
      clearTimeout(state.timer);
      state.timer = setTimeout(() => {
        state.running = state.running.then(onChange);
      }, DEBOUNCE_MS);
    }
  };
  void watch();
  return {
    [Symbol.dispose]() {
      clearTimeout(state.timer);
      watcher?.close();
    },
  };
}
