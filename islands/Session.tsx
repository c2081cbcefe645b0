import "@/client/zod_setup.ts";
import { SessionPageView } from "@/components/session_page.tsx";

export default function Session({ sessionId }: { sessionId: string }) {
  return <SessionPageView sessionId={sessionId} />;
}
