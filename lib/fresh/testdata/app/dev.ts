import { Builder } from "fresh/dev";

/** `dev.ts build <outDir>` builds; otherwise serves in development and prints the port. */
const root = import.meta.dirname!;
if (Deno.args[0] === "build") {
  await new Builder({ root, outDir: Deno.args[1] }).build();
} else {
  const onListen = ({ port }: Deno.NetAddr) => console.log(`port ${port}`);
  await new Builder({ root }).listen(() => import("./main.ts"), { port: 0, hostname: "127.0.0.1", onListen });
}
