import "@/client/zod_setup.ts";
import { AuthFormView, type AuthPurpose } from "@/components/auth_form.tsx";

export default function AuthForm({ purpose }: { purpose: AuthPurpose }) {
  return <AuthFormView purpose={purpose} />;
}
