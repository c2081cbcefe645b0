import { Head } from "fresh/runtime";
import { PlainPage } from "@/components/plain_page.tsx";
import DeviceApproval from "@/islands/DeviceApproval.tsx";
import { personOnly } from "@/lib/page_access.ts";
import { define } from "@/utils.ts";

export const handler = define.handlers({ GET: personOnly });

export default define.page(function DevicePage() {
  return (
    <PlainPage>
      <Head>
        <title>Connect a machine · Perch</title>
      </Head>
      <DeviceApproval />
    </PlainPage>
  );
});
