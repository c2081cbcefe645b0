/** A runner's terminals as a page of their own. */
import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useMemo, useRef } from "preact/hooks";
import type { RunnerInfo } from "@/protocol/shared.ts";
import { IS_BROWSER } from "fresh/runtime";
import { LazyModule } from "@/client/lazy_module.ts";
import { type LiveList, liveRunners } from "@/client/live_lists.ts";
import { Icon } from "./icons.tsx";
import { RunnerState } from "./runner_row.tsx";
import { StoppedBanner } from "./stopped_banner.tsx";
import { useKeyboardFit } from "./use_keyboard_fit.ts";

export function TerminalPageView({ runnerId }: { runnerId: string }): JSX.Element {
  const runners = useSignal<LiveList<RunnerInfo> | null>(null);
  const panel = useMemo(() => new LazyModule(() => import("./terminal_panel.tsx")), []);
  const page = useRef<HTMLDivElement>(null);
  useKeyboardFit(page);
  useEffect(() => {
    const made = liveRunners();
    runners.value = made;
    made.start();
    return () => made.dispose();
  }, []);
  const known = runners.value?.items.value;
  const found = known?.get(runnerId);
  const waiting = found?.terminals?.attention.length ?? 0;
  useEffect(() => {
    if (found) document.title = `${waiting > 0 ? `(${waiting}) ` : ""}${found.name} · Terminal · Perch`;
  }, [found?.name, waiting]);
  const query = IS_BROWSER ? new URLSearchParams(location.search) : new URLSearchParams();
  const TerminalPanel = panel.module.value?.TerminalPanel;
  return (
    <div class="terminal-page" ref={page}>
      <header class="topbar">
        <a class="button is-quiet is-icon" href="/" aria-label="All sessions">
          <Icon name="back" />
        </a>
        <h1 class="name">{found?.name ?? "Terminal"}</h1>
        {found && <RunnerState runner={found} />}
      </header>
      {runners.value && found && TerminalPanel
        ? (
          <TerminalPanel
            runnerId={runnerId}
            cwd={query.get("cwd") ?? found.roots[0] ?? ""}
            roots={found.roots}
            sessionId={null}
            terminalId={query.get("terminal")}
            runners={runners.value}
          />
        )
        : (
          <main class="centered">
            {runners.value && <StoppedBanner state={runners.value.state} />}
            <p class="quiet" role="status">
              {known && !found
                ? "There is no such runner, or it was removed."
                : panel.hasFailed.value
                ? "The terminal could not be loaded. Reload this page."
                : "Opening…"}
            </p>
          </main>
        )}
    </div>
  );
}
