/**
 * Frees the whole buffer that bytes lie in: nothing may use it any more. V8 hardly counts such memory as its own and finds it again
 * late; a flood of output makes megabytes of it a second.
 */
export function freeMemory({ buffer }: Uint8Array): void {
  if (buffer instanceof ArrayBuffer) buffer.transfer(0);
}
