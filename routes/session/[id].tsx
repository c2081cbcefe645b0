import { asset, Head } from "fresh/runtime";
import Session from "@/islands/Session.tsx";
import { personOnly } from "@/lib/page_access.ts";
import { define } from "@/utils.ts";

export const handler = define.handlers({ GET: personOnly });

/** The session itself is checked by its socket: another user's answers as not found. */
export default define.page(function SessionPage({ params }) {
  return (
    <>
      <Head>
        <link rel="stylesheet" href={asset("/tunnels.css")} />
      </Head>
      <Session sessionId={params.id ?? ""} />
    </>
  );
});
