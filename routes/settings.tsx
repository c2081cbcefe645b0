import { Head } from "fresh/runtime";
import { Icon, Mark } from "@/components/icons.tsx";
import SettingsPanel from "@/islands/SettingsPanel.tsx";
import { personOnly } from "@/lib/page_access.ts";
import { define } from "@/utils.ts";

export const handler = define.handlers({ GET: personOnly });

export default define.page<typeof handler>(function SettingsPage({ data }) {
  return (
    <>
      <Head>
        <title>Settings · Perch</title>
      </Head>
      <header class="topbar">
        <a class="button is-quiet is-icon" href="/" aria-label="All sessions">
          <Icon name="back" />
        </a>
        <a class="brand" href="/">
          <Mark />
          <span>Perch</span>
        </a>
      </header>
      <main>
        <SettingsPanel userName={data.userName} />
      </main>
    </>
  );
});
