import Dashboard from "@/islands/Dashboard.tsx";
import { personOnly } from "@/lib/page_access.ts";
import { define } from "@/utils.ts";

export const handler = define.handlers({ GET: personOnly });

export default define.page(function DashboardPage() {
  return <Dashboard />;
});
