import "@/client/zod_setup.ts";
import { TerminalPageView } from "@/components/terminal_page.tsx";

export default function TerminalPage({ runnerId }: { runnerId: string }) {
  return <TerminalPageView runnerId={runnerId} />;
}
