/** One tunnel: where it leads, ways to open it, and its links, log and settings. */
import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useId } from "preact/hooks";
import { addressOf, closeTunnel, tabOf } from "@/client/tunnels.ts";
import { plural } from "@/client/format.ts";
import { formatByteRate } from "@/protocol/byte_rate.ts";
import { type TunnelInfo, tunnelLimits } from "@/protocol/tunnel.ts";
import { CopyButton } from "./copy_button.tsx";
import { Dialog } from "./dialog.tsx";
import { Icon } from "./icons.tsx";
import type { SessionChoice } from "./tunnel_expose.tsx";
import { TunnelLog } from "./tunnel_log.tsx";
import { TunnelSettings } from "./tunnel_settings.tsx";
import { TunnelShares } from "./tunnel_shares.tsx";
import { useAttempt } from "./use_attempt.ts";

interface TunnelItemProps {
  tunnel: TunnelInfo;
  /** Named where tunnels of several sessions stand together. */
  session: SessionChoice | null;
  onChange: () => void;
  onPreview?: (tunnel: TunnelInfo) => void;
}

const sections = { shares: "Share", log: "Access log", settings: "Settings" } as const;
type Section = keyof typeof sections;

export function TunnelItem({ tunnel, session, onChange, onPreview }: TunnelItemProps): JSX.Element {
  const id = useId();
  const opened = useSignal<Section | null>(null);
  const isClosing = useSignal(false);
  const section = opened.value;
  return (
    <li class="tunnel" aria-labelledby={`${id}-name`}>
      <div class="tunnel-head">
        <h3 id={`${id}-name`}>{tunnel.name}</h3>
        <p class="tunnel-facts">
          <code>{tunnel.host ?? "localhost"}:{tunnel.port}</code>
          {session && (
            <span class="tunnel-session">
              <a href={`/session/${encodeURIComponent(session.sessionId)}`}>{session.title}</a>
            </span>
          )}
          {tunnel.shares.length > 0 && <span>{plural(tunnel.shares.length, "share link")}</span>}
          {tunnel.bounds.bytesPerS !== null && <span>at most {formatByteRate(tunnel.bounds.bytesPerS)}</span>}
          {tunnel.bounds.connections !== tunnelLimits.connections && (
            <span>{plural(tunnel.bounds.connections, "request")} at once</span>
          )}
          {tunnel.expiresAt !== null && <span>until {new Date(tunnel.expiresAt).toLocaleString()}</span>}
        </p>
      </div>
      {tunnel.address === null
        ? (
          <p class="quiet">
            It has no address on this hub: without PERCH_TUNNEL_DOMAIN only the ports of a session have one.
          </p>
        )
        : (
          <div class="button-row">
            {onPreview && (
              <button
                type="button"
                class="button"
                aria-label={`Preview ${tunnel.name}`}
                onClick={() => onPreview(tunnel)}
              >
                Preview
              </button>
            )}
            <a
              class="button"
              href={tabOf(tunnel)}
              target="_blank"
              rel="noreferrer"
              aria-label={`Open ${tunnel.name} in a new tab`}
            >
              <Icon name="open" />Open
            </a>
            <CopyButton text={addressOf(tunnel)} label="Copy address" />
          </div>
        )}
      <div class="tunnel-sections" role="group" aria-label={`More about ${tunnel.name}`}>
        {(Object.keys(sections) as Section[]).map((name) => (
          <button
            key={name}
            type="button"
            class="button is-quiet is-small"
            aria-expanded={section === name}
            aria-controls={section === name ? `${id}-section` : undefined}
            onClick={() => opened.value = section === name ? null : name}
          >
            {sections[name]}
          </button>
        ))}
        <span class="spacer" />
        <button
          type="button"
          class="button is-quiet is-small"
          aria-label={`Close ${tunnel.name}`}
          onClick={() => isClosing.value = true}
        >
          Close
        </button>
      </div>
      {section && (
        <div class="tunnel-section" id={`${id}-section`}>
          {section === "shares" && <TunnelShares tunnel={tunnel} onChange={onChange} />}
          {section === "log" && <TunnelLog tunnel={tunnel} />}
          {section === "settings" && <TunnelSettings tunnel={tunnel} onChange={onChange} />}
        </div>
      )}
      {isClosing.value && <CloseTunnel tunnel={tunnel} onClose={() => isClosing.value = false} onDone={onChange} />}
    </li>
  );
}

interface CloseTunnelProps {
  tunnel: TunnelInfo;
  onClose: () => void;
  onDone: () => void;
}

function CloseTunnel({ tunnel, onClose, onDone }: CloseTunnelProps): JSX.Element {
  const { problem, isBusy, attempt } = useAttempt();
  const close = async () => {
    if (await attempt(() => closeTunnel(tunnel.tunnelId))) {
      onClose();
      onDone();
    }
  };
  return (
    <Dialog title={`Close ${tunnel.name}?`} onClose={onClose}>
      <p>
        Port {tunnel.port} cannot be reached through the hub any more, and whatever goes through now is cut.
        {tunnel.shares.length > 0 && ` ${plural(tunnel.shares.length, "share link")} will stop working.`}
      </p>
      {problem.value && <p class="problem" role="alert">{problem.value.text}</p>}
      <div class="button-row is-end">
        <button type="button" class="button is-danger" disabled={isBusy.value} onClick={close}>Close the port</button>
      </div>
    </Dialog>
  );
}
