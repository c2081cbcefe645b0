import { HttpError } from "fresh";
import { Head } from "fresh/runtime";
import { PlainPage } from "@/components/plain_page.tsx";
import { define } from "@/utils.ts";

/** What a person sees when a page fails; never the fault's insides. */
export default define.page(function ErrorPage({ error }) {
  const status = error instanceof HttpError ? error.status : 500;
  const [title, text] = status === 404
    ? ["Nothing here", "There is no such page, or it is not yours."]
    : status < 500
    ? [
      "That did not work",
      error instanceof HttpError && error.message ? error.message : "The hub refused this request.",
    ]
    : ["The hub stumbled", "Something failed on the hub. Its log says what; loading the page again may work."];
  return (
    <PlainPage>
      <Head>
        <title>{title} · Perch</title>
      </Head>
      <section class="auth-form">
        <p class="status-code">{status}</p>
        <h1>{title}</h1>
        <p>{text}</p>
        <a class="button is-primary is-wide" href="/">Go to your sessions</a>
      </section>
    </PlainPage>
  );
});
