/** Joins two streams into one. */
import { type LinkStream, StreamResetError } from "@/protocol/link/types.ts";

type Bytes = Pick<LinkStream, "read" | "write" | "end" | "reset" | "closed">;

/**
 * Passes bytes, ends and resets on between two streams, both ways. A piece is taken from one when the one before is handed to the
 * other's link: the credit of both bounds what is on its way.
 */
export function joinStreams(a: Bytes, b: Bytes): void {
  void passOn(a, b);
  void passOn(b, a);
}

async function passOn(from: Bytes, to: Bytes): Promise<void> {
  // Its writes may wait for credit while `from` breaks: nobody reads it then.
  void from.closed.then((error) => error && to.reset(error.code, error.message));
  try {
    for (;;) {
      const bytes = await from.read();
      if (bytes === null) return to.end();
      await to.write(bytes);
    }
  } catch (error) {
    const { code, message } = error instanceof StreamResetError
      ? error
      : new StreamResetError("internal", String(error));
    from.reset(code, message);
    to.reset(code, message);
  }
}
