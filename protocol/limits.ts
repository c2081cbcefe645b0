/**
 * Every bound that more than one part of Perch must agree on. A limit that is hit is reported, never silent.
 */
const KiB = 1024;
const MiB = 1024 * KiB;

export const limits = {
  /** Largest WebSocket text frame either side may send. A larger one gets `too_large` and the socket is closed. */
  frameBytes: 8 * MiB,
  /** Most messages in one frame (a frame is one JSON message or an array of them). */
  messagesPerFrame: 2_000,
  /** Largest JSON of one entry (head and body). The runner truncates tool output before it gets here. */
  entryBytes: 4 * MiB,
  /** Longest tool output that the runner keeps in an entry; beyond it head and tail stay and a marker says how much went. */
  toolOutputChars: 256 * KiB,
  /** Longest text of one delta. Longer appends are split. */
  deltaChars: 256 * KiB,
  /** Records a producer may have sent and not yet seen acknowledged; beyond it the rest waits in its journal. */
  unackedRecords: 1_024,
  /** As above, in bytes of JSON. */
  unackedBytes: 4 * MiB,
  /** A page of entries ends at whichever of these is reached first (it always holds at least one entry). */
  pageEntries: 100,
  pageBytes: 512 * KiB,
  /** Bytes that may wait in a viewer's socket before it is cut down to fresh state. */
  viewerBufferedBytes: 4 * MiB,
  /** Longest prompt text. */
  promptChars: 512 * KiB,
  /** Most commands that may wait in one inbox. */
  inboxCommands: 200,
  /** How long a command waits for its runner before it expires. */
  commandTtlMs: 24 * 60 * 60 * 1000,
  /** Most op ids that a session host remembers to make delivery idempotent. */
  rememberedOps: 2_000,
  /** Entry and session titles, folder names shown in lists. */
  titleChars: 512,
  /** A path of a folder or file on the runner. */
  pathChars: 4_096,
  /**
   * Budget of one session host's socket, in events and deltas and in their bytes: what may come at once, and what is won
   * back each second. An agent sends some hundred a second; the journal of a long break fits into the burst. Beyond it the
   * host is told `rate_limited` with retryAfterMs, waits that long, registers again and goes on after what is acknowledged.
   */
  relayBurstMessages: 200_000,
  relayMessagesPerS: 20_000,
  relayBurstBytes: 128 * MiB,
  relayBytesPerS: 16 * MiB,
  /** A host that goes on sending this much after `rate_limited` is closed (protocolError). */
  relayIgnoredBytes: 16 * MiB,
  /** Attaches and pages that one viewer's socket may ask for at once, and each second. */
  viewerBurstRequests: 1_000,
  viewerRequestsPerS: 100,
  /** Commands of one user that one isolate takes at once, and each second. */
  userBurstCommands: 500,
  userCommandsPerS: 50,
  /** Open sockets of one user on one isolate. */
  userSockets: 5_000,
  /** Sessions and runners of one user that the hub keeps. */
  userSessions: 20_000,
  userRunners: 2_000,
  /** A host or runner that is refused because its user has too many tries again after this. */
  tooManyRetryMs: 60_000,
  /** A ping goes out after this much silence on either side … */
  heartbeatMs: 5_000,
  /** … and a socket that was silent this long is dead. */
  silenceMs: 15_000,
} as const;

/** WebSocket close codes of the application range that Perch uses, and what the client does then. */
export const closeCodes = {
  /** The credential was revoked or the session signed out: do not reconnect. */
  unauthorized: 4001,
  /** A frame broke the protocol badly (oversize, not JSON over and over): reconnect with back-off. */
  protocolError: 4002,
  /** A newer registration of the same producer took over: do not reconnect. */
  replaced: 4009,
  /** The two sides speak different protocol versions: show the update banner. */
  protocolVersion: 4010,
  /** The hub is shutting down: reconnect at once, elsewhere if possible. */
  goingAway: 4012,
  /** The session was deleted: do not reconnect. */
  deleted: 4013,
} as const;
