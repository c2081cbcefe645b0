import { signal } from "@preact/signals";
import Counter from "../islands/Counter.tsx";
import Panel from "../islands/Panel.tsx";
import { define } from "../define.ts";

export default define.page(() => {
  const shared = signal(1);
  return (
    <main>
      <Panel
        since={new Date(0)}
        links={new Map([["home", new URL("https://example.com/</script><script>alert(1)</script>")]])}
        size={7n}
        nothing={undefined}
        aside={
          <>
            <em>server aside</em>
            <Counter count={shared} />
          </>
        }
      >
        <p class="text">
          server <b>text</b>
        </p>
        <input type="checkbox" checked />
        <Counter count={shared} />
      </Panel>
      <div class="outside">
        <Counter count={shared} />
      </div>
    </main>
  );
});
