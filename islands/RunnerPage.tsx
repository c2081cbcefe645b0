import "@/client/zod_setup.ts";
import { RunnerPageView } from "@/components/runner_page.tsx";

export default function RunnerPage({ runnerId }: { runnerId: string }) {
  return <RunnerPageView runnerId={runnerId} />;
}
