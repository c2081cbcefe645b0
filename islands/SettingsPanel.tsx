import "@/client/zod_setup.ts";
import { SettingsView } from "@/components/settings_panel.tsx";

export default function SettingsPanel({ userName }: { userName: string }) {
  return <SettingsView userName={userName} />;
}
