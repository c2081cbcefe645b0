import { Head } from "fresh/runtime";
import { PlainPage } from "@/components/plain_page.tsx";
import AuthForm from "@/islands/AuthForm.tsx";
import { strangerOnly } from "@/lib/page_access.ts";
import { define } from "@/utils.ts";

export const handler = define.handlers({ GET: strangerOnly });

export default define.page(function LoginPage() {
  return (
    <PlainPage>
      <Head>
        <title>Sign in · Perch</title>
      </Head>
      <AuthForm purpose="login" />
    </PlainPage>
  );
});
