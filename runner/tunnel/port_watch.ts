/** Notices when a process of a session begins to listen on a port: what a preview is offered for. */
import type { ListeningPort } from "@/protocol/tunnel.ts";

/** How often is looked. Nothing tells of a new listener on Linux or macOS without privileges. */
const LOOK_MS = 2_000;
/** Ports that are told of one session. */
const PORTS_MAX = 16;
/** State LISTEN in /proc/net/tcp. */
const LISTEN = "0A";

/** Sockets in the state LISTEN, by inode, of a table of /proc/net (tcp or tcp6). */
export function listeners(table: string): Map<string, number> {
  const found = new Map<string, number>();
  for (const line of table.split("\n").slice(1)) {
    const [, local = "", , state, , , , , , inode = ""] = line.trim().split(/\s+/);
    if (state !== LISTEN) continue;
    const port = Number.parseInt(local.slice(local.lastIndexOf(":") + 1), 16);
    if (port > 0) found.set(inode, port);
  }
  return found;
}

/** The processes below `root`, not counting itself, from pairs of process and parent. */
export function descendants(root: number, parents: ReadonlyMap<number, number>): Set<number> {
  const below = new Set<number>();
  const isBelow = (pid: number, seen: number): boolean => {
    const parent = parents.get(pid);
    if (parent === undefined || parent === pid || seen > 64) return false;
    return parent === root || below.has(parent) || isBelow(parent, seen + 1);
  };
  for (const pid of parents.keys()) if (isBelow(pid, 0)) below.add(pid);
  return below;
}

/** Ports on which processes below this one listen now, in order. */
export async function portsBelow(root: number): Promise<ListeningPort[]> {
  const found = Deno.build.os === "linux" ? onLinux(root) : Deno.build.os === "darwin" ? await onMac(root) : [];
  const byPort = new Map(found.map((port) => [port.port, port]));
  return [...byPort.values()].sort((a, b) => a.port - b.port).slice(0, PORTS_MAX);
}

function onLinux(root: number): ListeningPort[] {
  const sockets = new Map<string, number>();
  for (const table of ["/proc/net/tcp", "/proc/net/tcp6"]) {
    for (const [inode, port] of listeners(readText(table))) sockets.set(inode, port);
  }
  if (sockets.size === 0) return [];
  const names = new Map<number, string>();
  const parents = new Map<number, number>();
  for (const { name } of Deno.readDirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    // "pid (name) state ppid …"; the name may hold anything, parentheses too.
    const stat = /^\d+ \(([^]*)\) \S (\d+)/.exec(readText(`/proc/${name}/stat`));
    if (stat === null) continue;
    parents.set(Number(name), Number(stat[2]));
    names.set(Number(name), stat[1]!);
  }
  const found: ListeningPort[] = [];
  for (const pid of descendants(root, parents)) {
    for (const inode of socketsOf(pid)) {
      const port = sockets.get(inode);
      if (port !== undefined) found.push({ port, process: names.get(pid)!.slice(0, 256) });
    }
  }
  return found;
}

function socketsOf(pid: number): string[] {
  try {
    return [...Deno.readDirSync(`/proc/${pid}/fd`)].flatMap(({ name }) => {
      try {
        const inode = /^socket:\[(\d+)\]$/.exec(Deno.readLinkSync(`/proc/${pid}/fd/${name}`))?.[1];
        return inode === undefined ? [] : [inode];
      } catch {
        return [];
      }
    });
  } catch {
    // It has ended, or is another user's.
    return [];
  }
}

async function onMac(root: number): Promise<ListeningPort[]> {
  const parents = new Map<number, number>();
  for (const line of (await outputOf("ps", "-axo", "pid=,ppid=")).split("\n")) {
    const [pid, parent] = line.trim().split(/\s+/).map(Number);
    if (pid && parent !== undefined) parents.set(pid, parent);
  }
  const below = descendants(root, parents);
  if (below.size === 0) return [];
  const fields = await outputOf("lsof", "-nP", "-iTCP", "-sTCP:LISTEN", "-a", "-p", [...below].join(","), "-Fcn");
  const found: ListeningPort[] = [];
  let process = "";
  for (const field of fields.split("\n")) {
    if (field.startsWith("c")) process = field.slice(1, 257);
    const port = Number(/^n.*:(\d+)$/.exec(field)?.[1]);
    if (port > 0) found.push({ port, process });
  }
  return found;
}

async function outputOf(program: string, ...args: string[]): Promise<string> {
  try {
    const { stdout } = await new Deno.Command(program, { args, stdin: "null", stderr: "null" }).output();
    return new TextDecoder().decode(stdout);
  } catch {
    return "";
  }
}

function readText(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return "";
  }
}

/** Tells of every change of the ports below a process until it is disposed. */
export class PortWatch {
  readonly #timer: ReturnType<typeof setInterval>;
  readonly #root: number;
  readonly #onChange: (ports: ListeningPort[]) => void;
  #last = "[]";
  #isLooking = false;

  constructor(root: number, onChange: (ports: ListeningPort[]) => void) {
    this.#root = root;
    this.#onChange = onChange;
    this.#timer = setInterval(() => void this.#look(), LOOK_MS);
  }

  async #look(): Promise<void> {
    if (this.#isLooking) return;
    this.#isLooking = true;
    const ports = await portsBelow(this.#root);
    this.#isLooking = false;
    const text = JSON.stringify(ports);
    if (text === this.#last) return;
    this.#last = text;
    this.#onChange(ports);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}
