/** Who a request speaks for. */
export interface Principal {
  userId: string;
  userName: string;
  /** What proved it: a browser's sign-in session, or an API key. */
  credential: { kind: "session" | "key"; id: string };
}

/** What the hub asks of the accounts: whose credential (cookie or `Authorization: Bearer`) a request carries. */
export interface Authenticator {
  /** Null when the request carries no valid credential. */
  authenticate(req: Request): Promise<Principal | null>;
  /** Whether a credential still counts: not signed out, revoked or expired. */
  isValid(credential: Principal["credential"]): Promise<boolean>;
}
