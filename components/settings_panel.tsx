/** Settings: runners, API keys, invites and the account. */
import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { Anything, api, errorText } from "@/client/api.ts";
import { liveRunners } from "@/client/live_lists.ts";
import { InviteSection } from "./invite_section.tsx";
import { KeySection } from "./key_section.tsx";
import { ConnectRunner } from "./connect_runner.tsx";
import { PasswordSection } from "./password_section.tsx";
import { RunnerRow } from "./runner_row.tsx";

export function SettingsView({ userName }: { userName: string }): JSX.Element {
  const problem = useSignal<string | null>(null);
  const signOut = async () => {
    try {
      await api(Anything, "POST", "/api/auth/sign-out");
      location.replace("/login");
    } catch (error) {
      problem.value = errorText(error);
    }
  };
  return (
    <div class="settings">
      <h1>Settings</h1>
      <RunnerSection />
      <KeySection />
      <InviteSection />
      <PasswordSection />
      <section class="panel">
        <h2>Account</h2>
        <div class="panel-row">
          <p>
            Signed in as <strong>{userName}</strong>
          </p>
          <button type="button" class="button" onClick={signOut}>Sign out</button>
        </div>
        {problem.value && <p class="problem" role="alert">{problem.value}</p>}
      </section>
    </div>
  );
}

function RunnerSection(): JSX.Element {
  const runners = useSignal<ReturnType<typeof liveRunners> | null>(null);
  useEffect(() => {
    const list = liveRunners();
    runners.value = list;
    list.start();
    return () => list.dispose();
  }, []);
  const items = runners.value?.items.value;
  return (
    <section class="panel">
      <h2>Runners</h2>
      {items && items.size > 0 && (
        <ul class="rows">
          {[...items.values()].map((runner) => <RunnerRow key={runner.runnerId} runner={runner} isEditable />)}
        </ul>
      )}
      <details class="fold-plain" open={items?.size === 0}>
        <summary>How to connect a machine</summary>
        <ConnectRunner />
      </details>
    </section>
  );
}
