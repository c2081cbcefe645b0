import { signal } from "@preact/signals";
import { Head } from "fresh/runtime";
import Counter from "../islands/Counter.tsx";
import { define } from "../define.ts";

export default define.page(() => {
  const count = signal(3);
  return (
    <main>
      <Head>
        <title>Counter</title>
      </Head>
      <Counter count={count} />
      <Counter count={count} />
    </main>
  );
});
