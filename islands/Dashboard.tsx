import "@/client/zod_setup.ts";
import { DashboardView } from "@/components/dashboard.tsx";

export default function Dashboard() {
  return <DashboardView />;
}
