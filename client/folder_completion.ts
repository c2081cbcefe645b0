/** The folder picker's decisions: what to ask the runner, what to suggest, what a key does. Pure. */

/** A folder as the picker suggests it. */
export interface FolderSuggestion {
  /** The whole path that choosing it puts into the field. */
  path: string;
  label: string;
  source: "recent" | "root" | "listed";
  isGitRepo: boolean;
}

export interface FolderPickerState {
  text: string;
  /** The folders outside of which nothing can be listed. */
  roots: readonly string[];
  isOpen: boolean;
  /** Position in the suggestions, or -1 when none is highlighted. */
  active: number;
  /** What the runner listed last, and for which folder. */
  listing: { parent: string; folders: { name: string; isGitRepo: boolean }[] } | null;
  /** Why the folder could not be listed, in the runner's words. */
  error: string | null;
}

/** What a field's text asks for: the folder to list and what the names in it must begin with. */
export interface FolderQuery {
  parent: string;
  prefix: string;
}

export type FolderPickerAction =
  | { type: "typed"; text: string }
  | { type: "listed"; parent: string; folders: { name: string; isGitRepo: boolean }[] }
  | { type: "failed"; parent: string; error: string }
  | { type: "moved"; by: 1 | -1; count: number }
  | { type: "chose"; path: string; keepOpen: boolean }
  | { type: "opened" }
  | { type: "closed" };

export function initialFolderPicker(text: string, roots: readonly string[] = []): FolderPickerState {
  return { text, roots, isOpen: false, active: -1, listing: null, error: null };
}

/**
 * Splits what was typed at its last separator (of either kind). A root itself is listed: what lies beside it cannot be.
 * Null when there is nothing to list on the way to a root, then only roots are suggested.
 */
export function folderQuery(text: string, roots: readonly string[] = []): FolderQuery | null {
  if (roots.some((root) => root === text)) return { parent: text, prefix: "" };
  if (roots.some((root) => root.startsWith(text) && !isRoot(root))) return null;
  const cut = Math.max(text.lastIndexOf("/"), text.lastIndexOf("\\"));
  if (cut < 0) return null;
  const parent = text.slice(0, cut + 1);
  return { parent: isRoot(parent) ? parent : parent.slice(0, -1), prefix: text.slice(cut + 1) };
}

/** Answers of an older folder than the one now typed change nothing. */
export function folderPickerReducer(state: FolderPickerState, action: FolderPickerAction): FolderPickerState {
  switch (action.type) {
    case "typed":
      return { ...state, text: action.text, isOpen: true, active: -1, error: null };
    case "listed":
      if (folderQuery(state.text, state.roots)?.parent !== action.parent) return state;
      return { ...state, listing: { parent: action.parent, folders: action.folders }, error: null };
    case "failed":
      if (folderQuery(state.text, state.roots)?.parent !== action.parent) return state;
      return { ...state, listing: null, error: action.error };
    case "moved": {
      if (action.count === 0) return { ...state, isOpen: true, active: -1 };
      const from = state.active < 0 && action.by < 0 ? 0 : state.active;
      return { ...state, isOpen: true, active: (from + action.by + action.count) % action.count };
    }
    case "chose":
      return { ...state, text: action.path, isOpen: action.keepOpen, active: -1, error: null };
    case "opened":
      return { ...state, isOpen: true };
    case "closed":
      return { ...state, isOpen: false, active: -1 };
  }
}

/** Most suggestions that are shown at once; typing narrows them. */
export const SUGGESTIONS_MAX = 40;

/** What to suggest: earlier folders and roots that contain what was typed, then the folders listed by the runner. */
export function folderSuggestions(
  state: FolderPickerState,
  recent: readonly string[],
): FolderSuggestion[] {
  const query = folderQuery(state.text, state.roots);
  const suggestions: FolderSuggestion[] = [];
  const seen = new Set<string>();
  const add = (suggestion: FolderSuggestion) => {
    const key = suggestion.path.replace(/[\\/]+$/, "");
    if (seen.has(key) || suggestions.length >= SUGGESTIONS_MAX) return;
    seen.add(key);
    suggestions.push(suggestion);
  };
  const typed = state.text.toLowerCase();
  const isMatch = (path: string) => path.toLowerCase().includes(typed) && path !== state.text;
  const listed = () => {
    if (query === null || state.listing?.parent !== query.parent) return;
    const prefix = query.prefix.toLowerCase();
    for (const { name, isGitRepo } of state.listing.folders) {
      if (!name.toLowerCase().startsWith(prefix)) continue;
      if (name.startsWith(".") && !prefix.startsWith(".")) continue;
      const path = joinPath(query.parent, name);
      if (path !== state.text) add({ path, label: name, source: "listed", isGitRepo });
    }
  };
  const earlier = () => {
    for (const path of recent) {
      if (isMatch(path)) add({ path, label: path, source: "recent", isGitRepo: false });
    }
    for (const path of state.roots) if (isMatch(path)) add({ path, label: path, source: "root", isGitRepo: false });
  };
  if (query === null) earlier();
  listed();
  if (query !== null) earlier();
  return suggestions;
}

/** Joins with the separator that the parent uses. */
export function joinPath(parent: string, name: string): string {
  if (/[\\/]$/.test(parent)) return parent + name;
  return parent + (parent.includes("\\") && !parent.includes("/") ? "\\" : "/") + name;
}

function isRoot(path: string): boolean {
  return /^(?:\/|[A-Za-z]:[\\/])$/.test(path);
}
