import assert from "node:assert/strict";
import { App, createDefine, HttpError, page, type PageProps } from "./mod.ts";

interface State {
  user: string;
}

/** Compiles only when both types are the same. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true : false;
const same = <A, B>(verdict: Same<A, B>) => assert.ok(verdict);

const define = createDefine<State>();

Deno.test("define - returns what it is given", () => {
  const handler = () => new Response();
  assert.equal(define.handlers(handler), handler);
  assert.equal(define.middleware(handler), handler);
  const component = () => null;
  assert.equal(define.page(component), component);
  assert.equal(define.layout(component), component);
});

Deno.test("define.page - types props.data after what the handlers return", () => {
  const handlers = define.handlers({
    GET: (ctx) => ctx.state.user === "" ? new Response(null, { status: 401 }) : page({ name: ctx.state.user }),
    async POST() {
      await Promise.resolve();
      throw new HttpError(400);
    },
  });
  define.page<typeof handlers>((props) => {
    same<typeof props.data, { name: string }>(true);
    same<typeof props.state, State>(true);
    return null;
  });
  const one = define.handlers(() => page(1));
  define.page<typeof one>((props) => {
    same<typeof props, PageProps<number, State>>(true);
    return null;
  });
});

Deno.test("define - middlewares, layouts and pages fit the app", async () => {
  const app = new App<State>()
    .use(define.middleware((ctx) => {
      ctx.state.user = "jane";
      return ctx.next();
    }))
    .use(...define.middleware([(ctx) => ctx.next()]))
    .layout("*", define.layout(({ Component }) => Component({})))
    .route("/", {
      handler: define.handlers({ GET: (ctx) => page({ name: ctx.state.user }) }),
      component: define.page<() => { data: { name: string } }>(({ data }) => `hello ${data.name}`),
    });
  const response = await app.handler()(new Request("http://localhost/"));
  assert.match(await response.text(), /hello jane/);
});
