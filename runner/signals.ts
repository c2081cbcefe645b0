/** Being told to stop. */

/** Calls `stop` on SIGTERM and SIGINT until disposed. */
export function onSignals(stop: (signal: Deno.Signal) => void): Disposable {
  const signals: Deno.Signal[] = Deno.build.os === "windows" ? ["SIGINT", "SIGBREAK"] : ["SIGINT", "SIGTERM"];
  const handlers = signals.map((signal) => {
    const handler = () => stop(signal);
    Deno.addSignalListener(signal, handler);
    return () => Deno.removeSignalListener(signal, handler);
  });
  return { [Symbol.dispose]: () => handlers.forEach((remove) => remove()) };
}
