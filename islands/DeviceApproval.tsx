import "@/client/zod_setup.ts";
import { DeviceApprovalView } from "@/components/device_approval.tsx";

export default function DeviceApproval() {
  return <DeviceApprovalView />;
}
