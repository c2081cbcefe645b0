import { asset, Head } from "fresh/runtime";
import RunnerPage from "@/islands/RunnerPage.tsx";
import { personOnly } from "@/lib/page_access.ts";
import { define } from "@/utils.ts";

export const handler = define.handlers({ GET: personOnly });

/** A runner: its ports and sessions. The lists that the page reads hold the user's own runners only. */
export default define.page<typeof handler>(function RunnerAndItsPorts({ params }) {
  return (
    <>
      <Head>
        <title>Runner · Perch</title>
        <link rel="stylesheet" href={asset("/tunnels.css")} />
      </Head>
      <RunnerPage runnerId={params.id ?? ""} />
    </>
  );
});
