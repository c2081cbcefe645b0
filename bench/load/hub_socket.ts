/** A socket of one namespace of a hub, for load: messages decoded one by one, heartbeats answered. */
import { PROTOCOL_VERSION } from "@/protocol/mod.ts";
import type { HubAddress } from "../../tests/support/hub.ts";
import type { Namespace } from "../../tests/support/socket.ts";
import { type PayloadHandler, RawSocket, textFrame } from "./raw_socket.ts";

export interface Message {
  type: string;
  [field: string]: unknown;
}

/** Room for one read of a socket that is one of thousands. */
const READ_BYTES = 4 * 1024;
const PONG = textFrame(JSON.stringify({ type: "pong" }));

export function namespaceUrl(hub: HubAddress, namespace: Namespace): string {
  // By address: a name may be looked up for every one of thousands of sockets.
  return `ws://${hub.host.replace("localhost", "127.0.0.1")}/ws/${namespace}?protocolVersion=${PROTOCOL_VERSION}`;
}

export function bearerOf(hub: HubAddress): Record<string, string> {
  return { authorization: `Bearer ${hub.person.apiKey}` };
}

/** Opens a socket whose messages but heartbeats go to `handle`. */
export async function openHubSocket(
  hub: HubAddress,
  namespace: Namespace,
  handle: (message: Message) => void,
  { readBytes = READ_BYTES }: { readBytes?: number } = {},
): Promise<RawSocket> {
  let socket: RawSocket | null = null;
  const onPayload = eachMessage((message) => {
    if (message.type === "ping") socket?.send(PONG);
    else handle(message);
  });
  socket = await RawSocket.open(namespaceUrl(hub, namespace), bearerOf(hub), onPayload, { readBytes });
  return socket;
}

/** A payload handler that decodes messages one by one. */
export function eachMessage(handle: (message: Message) => void): PayloadHandler {
  const decoder = new TextDecoder();
  let text = "";
  return (bytes, start, end, isEnd) => {
    const part = decoder.decode(bytes.subarray(start, end), { stream: !isEnd });
    if (!isEnd) {
      text += part;
      return;
    }
    const value = JSON.parse(text + part) as Message | Message[];
    text = "";
    if (!Array.isArray(value)) handle(value);
    else for (const message of value) handle(message);
  };
}
