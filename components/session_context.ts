/** What the parts of a session's page share. */
import { signal } from "@preact/signals";
import { createContext } from "preact";
import { useContext } from "preact/hooks";
import { LazyModule } from "@/client/lazy_module.ts";
import type { SessionStore } from "@/client/session_store.ts";
import { TunnelList } from "@/client/tunnel_list.ts";
import type { TunnelInfo } from "@/protocol/tunnel.ts";

export type SessionSide =
  | { kind: "ports" }
  /** `url` lets this browser in once. */
  | { kind: "preview"; tunnel: TunnelInfo; url: string };

export class SessionView {
  readonly highlighter = new LazyModule(async () => (await import("@/client/highlight.ts")).createHighlighter());
  readonly differ = new LazyModule(async () => (await import("@/client/diff_lines.ts")).diffLines);
  /** Entries that a person opened or closed; remembered while they scroll out of the page. */
  readonly opened = new Map<string, boolean>();

  /** Indexes of the entries that can be seen now; everything while that is not known. */
  readonly visible = signal<{ first: number; last: number }>({ first: 0, last: Infinity });

  /** An entry that a person wants to see: the timeline goes there and clears this. */
  readonly wanted = signal<string | null>(null);

  /** Whether the session's terminals are shown. */
  readonly isTerminalOpen = signal(false);
  readonly terminals = new LazyModule(async () => {
    const [module, { loadTerminalStyles }] = await Promise.all([
      import("./terminal_panel.tsx"),
      import("@/client/terminal_view.ts"),
    ]);
    await loadTerminalStyles();
    return module;
  });

  /** What stands beside the timeline: the session's ports, or the preview of one of them. */
  readonly side = signal<SessionSide | null>(null);
  readonly sideModule = new LazyModule(() => import("./session_side.tsx"));
  readonly tunnels: TunnelList;

  /** Of a session that is a terminal: whether its timeline is shown in the terminal's place. */
  readonly isTimelineWanted = signal(false);
  readonly mainTerminal = new LazyModule(async () => {
    const [module, { loadTerminalStyles }] = await Promise.all([
      import("./terminal_solo.tsx"),
      import("@/client/terminal_view.ts"),
    ]);
    await loadTerminalStyles();
    return module;
  });

  constructor(readonly store: SessionStore) {
    this.tunnels = new TunnelList({ sessionId: store.sessionId });
  }
}

export const SessionContext = createContext<SessionView | null>(null);

/** The view of the session around this component. Throws outside of one. */
export function useSession(): SessionView {
  const view = useContext(SessionContext);
  if (!view) throw new Error("this component belongs inside a SessionContext");
  return view;
}
