/** Approves a machine that asks for a key (`perch login`): shows who asks before anything can be granted. */
import { useSignal } from "@preact/signals";
import * as z from "zod/mini";
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { Anything, api, errorText } from "@/client/api.ts";
import { relativeTime } from "@/client/format.ts";
import { Field } from "./field.tsx";
import { Icon } from "./icons.tsx";

const DeviceRequest = z.object({
  clientName: z.string(),
  createdAt: z.number(),
  expiresAt: z.number(),
  ip: z.string(),
  status: z.enum(["pending", "approved", "denied", "used"]),
});
type DeviceRequest = z.infer<typeof DeviceRequest>;

export function DeviceApprovalView(): JSX.Element {
  const code = useSignal("");
  const request = useSignal<DeviceRequest | null>(null);
  const decision = useSignal<"approved" | "denied" | null>(null);
  const problem = useSignal<string | null>(null);
  const isBusy = useSignal(false);

  const attempt = async (work: () => Promise<void>) => {
    isBusy.value = true;
    problem.value = null;
    try {
      await work();
    } catch (error) {
      problem.value = errorText(error);
    }
    isBusy.value = false;
  };
  const lookUp = () =>
    attempt(async () => {
      const query = new URLSearchParams({ code: code.value.trim().toUpperCase() });
      request.value = await api(DeviceRequest, "GET", `/api/device/info?${query}`);
    });
  const decide = (approve: boolean) =>
    attempt(async () => {
      await api(Anything, "POST", "/api/device/approve", { userCode: code.value.trim().toUpperCase(), approve });
      decision.value = approve ? "approved" : "denied";
    });
  useEffect(() => {
    const given = new URLSearchParams(location.search).get("code") ?? location.hash.replace(/^#(?:code=)?/, "");
    if (/^[A-Za-z0-9-]{4,32}$/.test(given)) {
      code.value = given;
      lookUp();
    }
  }, []);

  if (decision.value !== null) {
    return (
      <div class="auth-form">
        <h1>{decision.value === "approved" ? "Connected" : "Denied"}</h1>
        <p>
          {decision.value === "approved"
            ? `${
              request.value?.clientName ?? "The machine"
            } now has a key of its own. You can take it back in Settings.`
            : "The machine gets nothing."}
        </p>
        <a class="button is-primary is-wide" href="/">Go to your sessions</a>
      </div>
    );
  }
  const asked = request.value;
  return (
    <div class="auth-form">
      <h1>Connect a machine</h1>
      {problem.value && <p class="refusal" role="alert">{problem.value}</p>}
      {asked === null
        ? (
          <form
            onSubmit={(event) => {
              event.preventDefault();
              lookUp();
            }}
          >
            <Field
              label="Code shown in the terminal"
              name="code"
              value={code.value}
              onInput={(value) => code.value = value}
              placeholder="ABCD-EFGH"
              hasFocus
            />
            <button type="submit" class="button is-primary is-wide" disabled={isBusy.value || code.value.trim() === ""}>
              Continue
            </button>
          </form>
        )
        : (
          <>
            <dl class="facts">
              <dt>Machine</dt>
              <dd>
                <Icon name="machine" /> {asked.clientName}
              </dd>
              <dt>Address</dt>
              <dd class="mono">{asked.ip}</dd>
              <dt>Asked</dt>
              <dd>
                {relativeTime(asked.createdAt, Date.now()) === "now"
                  ? "just now"
                  : `${relativeTime(asked.createdAt, Date.now())} ago`}
              </dd>
              <dt>Code</dt>
              <dd class="mono">{code.value.toUpperCase()}</dd>
            </dl>
            {asked.status === "pending"
              ? (
                <>
                  <p class="quiet">
                    It will be able to host sessions and act in your name. Allow it only if you have just started this
                    yourself.
                  </p>
                  <div class="button-row">
                    <button
                      type="button"
                      class="button is-primary"
                      disabled={isBusy.value}
                      onClick={() => decide(true)}
                    >
                      Allow
                    </button>
                    <button
                      type="button"
                      class="button is-danger-quiet"
                      disabled={isBusy.value}
                      onClick={() => decide(false)}
                    >
                      Deny
                    </button>
                  </div>
                </>
              )
              : (
                <p role="status">
                  This code was {asked.status} already. Run <code>perch login</code> again for a new one.
                </p>
              )}
          </>
        )}
    </div>
  );
}
