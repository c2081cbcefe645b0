/** Sessions by runner and folder; ended ones folded away below the living. */
import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import type { FolderGroup, RunnerGroup } from "@/client/grouping.ts";
import { plural } from "@/client/format.ts";
import { Icon } from "./icons.tsx";
import { PathText } from "./path_text.tsx";
import { RunnerState } from "./runner_row.tsx";
import { SessionRow } from "./session_row.tsx";

/** Ended sessions that are shown without being asked for, where nothing lives. */
const ENDED_SHOWN = 2;

export function SessionGroups({ groups }: { groups: readonly RunnerGroup[] }): JSX.Element {
  return (
    <>
      {groups.map((group) => (
        <section key={group.runnerId} class="runner-group">
          <header class="runner-group-head">
            <Icon name="machine" />
            <h2>{group.name}</h2>
            {group.runner
              ? <RunnerState runner={group.runner} />
              : <span class="quiet">not connected to this hub any more</span>}
          </header>
          {group.folders.map((folder) => <Folder key={folder.cwd} folder={folder} />)}
        </section>
      ))}
    </>
  );
}

function Folder({ folder }: { folder: FolderGroup }): JSX.Element {
  const isAllShown = useSignal(false);
  const shownCount = isAllShown.value ? folder.ended.length : folder.open.length > 0 ? 0 : ENDED_SHOWN;
  const hidden = folder.ended.length - Math.min(shownCount, folder.ended.length);
  return (
    <section class="folder-group">
      <h3>
        <Icon name="folder" />
        <PathText path={folder.cwd} />
      </h3>
      <ul class="session-list">
        {folder.open.map((session) => <SessionRow key={session.sessionId} session={session} />)}
        {folder.ended.slice(0, shownCount).map((session) => <SessionRow key={session.sessionId} session={session} />)}
      </ul>
      {hidden > 0 && (
        <button type="button" class="button is-quiet is-small" onClick={() => isAllShown.value = true}>
          Show {plural(hidden, "ended session")}
        </button>
      )}
    </section>
  );
}
