/**
 * How `/ws/link` begins: one text message each way, as JSON. From then on everything is binary (codec.ts), but what the hub says
 * before it closes the socket.
 */
import * as z from "zod/mini";
import { ErrorMessage, GoingAway, Id } from "../shared.ts";

/** First message of a runner. Answered by `link_registered`, or by an error and the end of the socket. */
export const RegisterLink = z.object({
  type: z.literal("register_link"),
  protocolVersion: z.int(),
  runnerId: Id,
});
export type RegisterLink = z.infer<typeof RegisterLink>;

/** Messages from a runner. */
export const linkClient = { register_link: RegisterLink } as const;

/** Frames may be sent from now on. */
export const LinkRegistered = z.object({ type: z.literal("link_registered"), runnerId: Id });

/** Messages to a runner. */
export const linkServer = { link_registered: LinkRegistered, error: ErrorMessage, going_away: GoingAway } as const;
