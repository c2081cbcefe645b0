import { Suspense } from "react";

export const dynamic = "force-dynamic";

/** Its rest is sent when it is released. */
export default function Slow() {
  return (
    <>
      <h1>Slow</h1>
      <Suspense fallback={<p>waiting</p>}>
        <Rest />
      </Suspense>
    </>
  );
}

async function Rest() {
  await new Promise((resolve) => globalThis.release = resolve);
  return <p>the rest</p>;
}
