/**
 * Every metric of a hub: its kind, the name of its label, and what it says. On the page of /metrics a name is
 * `perch_<name>`, with `_total` after counters and `_seconds` after histograms. docs/operations.md says what to watch.
 */

export interface Metric {
  kind: "counter" | "gauge" | "histogram";
  /** Name of the label that tells its series apart; without one there is one series. */
  label?: string;
  /** It speaks of the whole process: isolates of one process tell the same, and it is shown once. */
  isOfProcess?: true;
  help: string;
}

export const metricTable = {
  connections: { kind: "gauge", label: "namespace", help: "Open sockets" },
  connections_opened: { kind: "counter", label: "namespace", help: "Sockets opened" },
  upgrades_refused: { kind: "counter", label: "code", help: "Upgrades refused" },
  sockets_silent: { kind: "counter", label: "namespace", help: "Sockets closed because nothing came from them" },
  socket_received_bytes: {
    kind: "counter",
    label: "namespace",
    help: "Text received on sockets, before compression; a character outside ASCII may count as fewer than its bytes",
  },
  socket_sent_bytes: {
    kind: "counter",
    label: "namespace",
    help: "Text given to sockets, counted as socket_received_bytes",
  },
  frames_refused: { kind: "counter", label: "code", help: "Frames and messages answered with a typed error" },
  unknown_types: { kind: "counter", label: "namespace", help: "Messages of a type that this hub does not know" },
  messages_dropped: {
    kind: "counter",
    label: "reason",
    help: "Messages not taken, whose sender was told so and sends them again",
  },
  link_streams: { kind: "gauge", help: "Open streams of data links: terminals, tunnelled requests and sockets" },
  link_streams_refused: { kind: "counter", help: "Streams that runners opened, which is not theirs to do" },
  link_grants_squeezed: {
    kind: "counter",
    help: "Grants of credit to runners that were cut short: what a link may hold unread was used up",
  },
  link_frames_ignored: { kind: "counter", help: "Frames of data links whose stream does not exist (any more)" },
  live_sessions: { kind: "gauge", help: "Sessions whose host is connected" },
  live_runners: { kind: "gauge", help: "Runners that are connected" },
  records_received: { kind: "counter", help: "Records received from hosts, repeated ones too" },
  records_duplicate: { kind: "counter", help: "Records received that were known already" },
  records_committed: { kind: "counter", help: "Records committed to KV and acknowledged" },
  uncommitted_records: { kind: "gauge", help: "Records held in memory until they are committed" },
  deltas_received: { kind: "counter", help: "Deltas received from hosts" },
  commits_failed: { kind: "counter", help: "Commits of records that failed and are tried again" },
  commit: { kind: "histogram", help: "Time from handing records of a session to the store until they are durable" },
  writer_queue_bytes: { kind: "gauge", help: "Bytes of mutations that wait for a KV commit" },
  writer_queue_groups: { kind: "gauge", help: "Groups of mutations that wait for a KV commit" },
  writer_commits: { kind: "counter", help: "KV commits made" },
  writer_groups: { kind: "counter", help: "Groups of mutations in those commits" },
  deliveries: { kind: "counter", help: "Messages handed to viewers' sockets" },
  viewers_slow: { kind: "counter", help: "Viewers cut down to fresh state because their socket did not drain" },
  viewers_reattached: {
    kind: "counter",
    help: "Viewers that attached again because messages between isolates were lost",
  },
  history_pages: { kind: "counter", help: "Pages of trimmed entries that runners gave" },
  commands_redelivered: {
    kind: "counter",
    help: "Commands that waited in an inbox although their target was connected, and were handed over again",
  },
  commands_accepted: { kind: "counter", help: "Commands stored in an inbox" },
  commands_settled: { kind: "counter", label: "status", help: "Commands settled by a receipt or expired" },
  mesh_peers: { kind: "gauge", help: "Other isolates known" },
  mesh_peers_direct: { kind: "gauge", help: "Other isolates that messages go to over a socket, not through KV" },
  mesh_peers_lagging: { kind: "gauge", help: "Other isolates that do not read, so that messages to them are dropped" },
  mesh_messages_dropped: {
    kind: "counter",
    help: "Messages dropped because the other isolate lags; its viewers attach again when it has caught up",
  },
  mesh_outbox_bytes: { kind: "gauge", help: "Bytes for other isolates that are not posted yet" },
  mesh_unread_bytes: {
    kind: "gauge",
    help: "Bytes for other isolates that they have not said they read; told in steps",
  },
  http_requests: { kind: "counter", label: "status", help: "HTTP requests answered" },
  http_request: { kind: "histogram", help: "Time to answer an HTTP request" },
  event_loop_lag: { kind: "histogram", help: "How late a timer of this isolate fires, looked at twice a second" },
  draining: { kind: "gauge", help: "1 while the isolate moves its clients over before it stops" },
  uptime_seconds: { kind: "gauge", help: "Time since the isolate opened its hub" },
  heap_used_bytes: { kind: "gauge", help: "JavaScript heap in use" },
  process_resident_memory_bytes: { kind: "gauge", isOfProcess: true, help: "Resident memory" },
  process_cpu_seconds: { kind: "counter", isOfProcess: true, help: "CPU time of all threads, user and system" },
} as const satisfies Record<string, Metric>;

export type MetricName = keyof typeof metricTable;
type NameOf<K extends Metric["kind"]> = {
  [N in MetricName]: (typeof metricTable)[N]["kind"] extends K ? N : never;
}[MetricName];
export type CounterName = NameOf<"counter">;
export type GaugeName = NameOf<"gauge">;
export type HistogramName = NameOf<"histogram">;
/** "" for a metric without a label. */
export type LabelOf<N extends MetricName> = (typeof metricTable)[N] extends { label: string } ? string : "";
