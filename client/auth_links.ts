/** Secrets and targets that links carry. Secrets travel in the fragment, which browsers never send. Pure. */

/** The secret in a fragment: "#setup=…", "#token=…", "#invite=…" or the bare secret. Empty when there is none. */
export function fragmentSecret(hash: string): { kind: "invite" | "setup" | "none"; secret: string } {
  const text = hash.replace(/^#/, "");
  const match = /^(setup|token|invite)=([A-Za-z0-9._~-]+)$/.exec(text);
  if (match) return { kind: match[1] === "invite" ? "invite" : "setup", secret: match[2]! };
  return /^[A-Za-z0-9._~-]{8,}$/.test(text) ? { kind: "setup", secret: text } : { kind: "none", secret: "" };
}

/** Where to go after signing in: a path of this hub, never another place. */
export function safeNext(search: string): string {
  const next = new URLSearchParams(search).get("next") ?? "/";
  return /^\/(?![/\\])[^\s\\]*$/.test(next) ? next : "/";
}
