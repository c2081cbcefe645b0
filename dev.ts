/** `deno task build` (argument "build") builds the app for production; `deno task dev` serves it and rebuilds on change. */
import { Builder } from "fresh/dev";
import { localUrl, readEnvironment } from "@/lib/config.ts";
import { folders } from "./fresh.config.ts";
import { writeBuildStamp } from "./lib/build_stamp.ts";

const builder = new Builder(folders);
if (Deno.args.includes("build")) {
  await builder.build();
  await writeBuildStamp(import.meta.dirname!);
} else {
  const environment = readEnvironment(Deno.env.toObject());
  await builder.listen(async () => {
    const { app, auth } = await import("./main.ts");
    const token = await auth.issueSetupToken();
    console.log(`Perch (development) is at ${localUrl(environment)}${token === null ? "" : `/setup#${token}`}`);
    return app;
  }, { hostname: environment.host, port: environment.port, onListen() {} });
}
