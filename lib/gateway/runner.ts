/** `/ws/runner`: one runner daemon. It registers itself, gets commands and questions, and speaks for hosts that died. */
import {
  closeCodes,
  type CommandResult,
  type MessageOf,
  type RegisterRunner,
  runnerClient,
  type RunnerUpdate,
  type SessionKilled,
} from "@/protocol/mod.ts";
import type { z } from "zod";
import { errorText } from "@/lib/log.ts";
import { settleCommand } from "./commands.ts";
import { Connection } from "./connection.ts";
import { callIsolate, type GatewayContext, GatewayError, type SocketAcceptor, track } from "./context.ts";
import { LiveRunner } from "./live_runner.ts";
import { versionRefusal } from "./upgrade.ts";

type RunnerMessage = MessageOf<typeof runnerClient>;
type Registration = z.infer<typeof RegisterRunner>;

/** Messages of one runner that may be on their way to KV: a daemon that starts reports each of its dead sessions. */
const MAX_ACTIONS = 10_000;

/** Serves one runner daemon on an open socket. */
export const acceptRunner: SocketAcceptor = (ctx, socket, principal) => {
  const daemon = new RunnerDaemon(ctx);
  const connection = Connection.open({
    namespace: "runner",
    socket,
    principal,
    schemas: runnerClient,
    counters: ctx.counters,
    ticker: ctx.ticker,
    log: ctx.log,
    onFrame: (frame) => frame.messages.forEach((message) => daemon.receive(message)),
    onClose: () => daemon.closed(),
  });
  daemon.connection = connection;
  return connection;
};

class RunnerDaemon {
  connection!: Connection;
  readonly #ctx: GatewayContext;
  #live: LiveRunner | null = null;
  #isRegistering = false;
  #actions = 0;

  constructor(ctx: GatewayContext) {
    this.#ctx = ctx;
  }

  receive(message: RunnerMessage): void {
    if (message.type === "ping" || message.type === "pong") return;
    if (message.type === "register_runner") {
      this.#run("register_runner", () => this.#register(message));
      return;
    }
    const live = this.#live;
    if (live === null) {
      this.connection.sendError({
        code: "invalid_message",
        message: `${message.type}: send register_runner and wait for runner_registered first`,
      });
      return;
    }
    switch (message.type) {
      case "runner_update":
        this.#run(message.type, () => this.#update(live, message));
        break;
      case "session_killed":
        this.#run(message.type, () => this.#sessionKilled(live, message));
        break;
      case "command_result":
        this.#run(message.type, () => this.#settle(live, message));
        break;
      case "file_result":
      case "history_page":
      case "terminal_result":
      case "tunnel_result":
      case "agents_list":
        if (message.type === "agents_list") {
          this.#run(message.type, () => this.#update(live, { type: "runner_update", agents: message.agents }));
        }
        live.answer(message);
        break;
    }
  }

  closed(): void {
    const live = this.#live;
    this.#live = null;
    if (live !== null) track(this.#ctx, live.detach());
  }

  async #run(what: string, action: () => Promise<void>): Promise<void> {
    if (this.#actions >= MAX_ACTIONS) {
      this.connection.sendError({ code: "rate_limited", message: `${what}: ${MAX_ACTIONS} messages are being stored` });
      return;
    }
    this.#actions++;
    try {
      await action();
    } catch (error) {
      if (error instanceof GatewayError) {
        const { code, message, field, retryAfterMs } = error;
        this.connection.sendError({
          code,
          message,
          ...(field === undefined ? {} : { field }),
          ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
        });
        return;
      }
      this.#ctx.log.warn("runner_message_failed", { what, error: errorText(error) });
      this.connection.sendError({ code: "unavailable", message: `${what}: the hub cannot store this now` });
      // A runner registers again when it reconnects; without a registration it could do nothing here.
      if (what === "register_runner") this.connection.close(closeCodes.protocolError, "registration failed");
    } finally {
      this.#actions--;
    }
  }

  async #register(register: Registration): Promise<void> {
    const { connection } = this;
    const version = versionRefusal(register.protocolVersion);
    if (version !== null) {
      connection.sendError({ code: "protocol_version", message: version.message, field: "protocolVersion" });
      connection.close(version.closeCode, "protocol version");
      return;
    }
    if (this.#isRegistering) {
      connection.sendError({ code: "conflict", message: "register_runner: an earlier one is not answered yet" });
      return;
    }
    this.#isRegistering = true;
    try {
      await this.#takeOver(register);
    } finally {
      this.#isRegistering = false;
    }
  }

  async #takeOver(register: Registration): Promise<void> {
    const { store, mesh, liveRunners, hints, log } = this.#ctx;
    const { connection } = this;
    const { runnerId } = register;
    const { userId } = connection.principal;
    await this.#ctx.quotas.checkRoom("runner", userId, runnerId);
    const holder = await store.runners.isolateOf(runnerId);
    const lease = await store.runners.register(userId, mesh.isolateId, register);
    if (lease === null) {
      connection.sendError({ code: "not_found", message: `there is no runner "${runnerId}"`, field: "runnerId" });
      return;
    }
    const older = liveRunners.get(runnerId);
    if (older !== undefined && older.lease.producerEpoch > lease.producerEpoch) {
      connection.close(closeCodes.replaced, "replaced by a newer registration");
      return;
    }
    older?.supersede(connection);
    if (this.#live !== null && this.#live !== older) await this.#live.detach();
    this.#live = null;
    if (connection.isClosed) {
      await store.runners.release(lease);
      return;
    }
    const live = new LiveRunner(this.#ctx, lease, connection);
    this.#live = live;
    liveRunners.set(runnerId, live);
    connection.send({
      type: "runner_registered",
      runnerId,
      existingSessions: await store.runners.liveSessionIds(userId, runnerId),
      deletedSessions: await store.sessions.deletedOf([...register.sessionIds, ...register.storedSessionIds ?? []]),
      serverTime: Date.now(),
    });
    hints.runner(userId, runnerId);
    log.info("runner_registered", { runnerId, socketId: connection.id, sessions: register.sessionIds.length });
    if (holder !== null && holder !== mesh.isolateId && mesh.isLive(holder)) {
      callIsolate(mesh, holder, "runner_replaced", { runnerId, producerEpoch: lease.producerEpoch })
        .catch((error) => log.debug("replace_call_failed", { runnerId, error: errorText(error) }));
    }
    for (const command of await store.inbox.pending(`runner:${runnerId}`)) live.deliver(command);
  }

  async #update(live: LiveRunner, update: z.infer<typeof RunnerUpdate>): Promise<void> {
    const { type: _, ...patch } = update;
    await this.#ctx.store.runners.update(live.lease, patch);
    this.#ctx.hints.runner(live.lease.userId, live.lease.runnerId);
  }

  async #sessionKilled(live: LiveRunner, { sessionId, end }: z.infer<typeof SessionKilled>): Promise<void> {
    const { userId, runnerId } = live.lease;
    const info = await this.#ctx.store.sessions.info(userId, sessionId);
    if (info === null || info.runnerId !== runnerId) {
      this.connection.sendError({
        code: "not_found",
        message: `there is no session "${sessionId}" of this runner`,
        field: "sessionId",
        sessionId,
      });
      return;
    }
    await this.#ctx.store.log.end(userId, sessionId, end);
    this.#ctx.hints.sessionStatus(userId, sessionId);
  }

  async #settle(live: LiveRunner, result: CommandResult): Promise<void> {
    await settleCommand(this.#ctx, `runner:${live.lease.runnerId}`, live.lease.userId, result);
  }
}
