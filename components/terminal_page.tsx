/** A runner's terminals as a page of their own. */
import { useSignal } from "@preact/signals";
import * as z from "zod/mini";
import type { JSX } from "preact";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { RunnerInfo } from "@/protocol/shared.ts";
import { api, errorText } from "@/client/api.ts";
import { LazyModule } from "@/client/lazy_module.ts";
import { Icon } from "./icons.tsx";
import { RunnerState } from "./runner_row.tsx";
import { useKeyboardFit } from "./use_keyboard_fit.ts";

const Answer = z.object({ runner: RunnerInfo });

export function TerminalPageView({ runnerId }: { runnerId: string }): JSX.Element {
  const runner = useSignal<RunnerInfo | null>(null);
  const problem = useSignal<string | null>(null);
  const panel = useMemo(() => new LazyModule(() => import("./terminal_panel.tsx")), []);
  const page = useRef<HTMLDivElement>(null);
  useKeyboardFit(page);
  useEffect(() => {
    api(Answer, "GET", `/api/runners/${encodeURIComponent(runnerId)}`).then(
      (answer) => {
        runner.value = answer.runner;
        document.title = `${answer.runner.name} · Terminal · Perch`;
      },
      (error) => problem.value = errorText(error),
    );
  }, [runnerId]);
  const TerminalPanel = panel.module.value?.TerminalPanel;
  const found = runner.value;
  return (
    <div class="terminal-page" ref={page}>
      <header class="topbar">
        <a class="button is-quiet is-icon" href="/" aria-label="All sessions">
          <Icon name="back" />
        </a>
        <h1 class="name">{found?.name ?? "Terminal"}</h1>
        {found && <RunnerState runner={found} />}
      </header>
      {found && TerminalPanel
        ? (
          <TerminalPanel
            runnerId={runnerId}
            cwd={new URLSearchParams(location.search).get("cwd") ?? found.roots[0] ?? ""}
            roots={found.roots}
            sessionId={null}
          />
        )
        : (
          <main class="centered">
            <p class={problem.value ? "problem" : "quiet"} role={problem.value ? "alert" : "status"}>
              {problem.value ??
                (panel.hasFailed.value ? "The terminal could not be loaded. Reload this page." : "Opening…")}
            </p>
          </main>
        )}
    </div>
  );
}
