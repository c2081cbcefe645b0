import { asset, Head } from "fresh/runtime";
import TerminalPage from "@/islands/TerminalPage.tsx";
import { personOnly } from "@/lib/page_access.ts";
import { define } from "@/utils.ts";

export const handler = define.handlers({ GET: personOnly });

/** The terminals of a runner. Whose it is, the hub checks with every request: another user's answers as not found. */
export default define.page<typeof handler>(function RunnerTerminals({ params }) {
  return (
    <>
      <Head>
        <title>Terminal · Perch</title>
        <link rel="stylesheet" href={asset("/terminal.css")} />
      </Head>
      <TerminalPage runnerId={params.runnerId ?? ""} />
    </>
  );
});
