/** Finds programs on the PATH, as a shell would. Pure but for the file check that it is given. */
import { isAbsolute, join } from "node:path";

export interface PathOptions {
  /** The PATH variable. */
  path: string;
  isWindows: boolean;
  /** Windows' PATHEXT variable. */
  pathExt?: string;
  isExecutable(path: string): boolean;
}

/** Full path of the first program of this name on the PATH, or null. A name with a slash is taken as a path. */
export function findOnPath(name: string, options: PathOptions): string | null {
  const endings = options.isWindows ? ["", ...(options.pathExt ?? ".EXE;.CMD;.BAT").split(";")] : [""];
  const isPath = isAbsolute(name) || name.includes("/") || (options.isWindows && name.includes("\\"));
  // Empty and relative folders would run whatever lies in the session's working directory.
  const folders = isPath
    ? [""]
    : options.path.split(options.isWindows ? ";" : ":").filter((folder) => isAbsolute(folder));
  for (const folder of folders) {
    for (const ending of endings) {
      const candidate = (folder === "" ? name : join(folder, name)) + ending.toLowerCase();
      if (options.isExecutable(candidate)) return candidate;
    }
  }
  return null;
}

/** Whether this is a file that this user's kind may run. */
export function isExecutableFile(path: string): boolean {
  try {
    const info = Deno.statSync(path);
    return info.isFile && (info.mode === null || (info.mode & 0o111) !== 0);
  } catch {
    return false;
  }
}
