import assert from "node:assert/strict";
import { App, type FreshContext, HttpError, page } from "./mod.ts";

type State = { text: string };

async function ask(app: App<State>, path: string, init?: RequestInit): Promise<[number, string]> {
  const response = await app.handler()(new Request(`http://localhost${path}`, init));
  return [response.status, await response.text()];
}

const append = (text: string) => (ctx: FreshContext<State>) => {
  ctx.state.text = (ctx.state.text ?? "") + text;
  return ctx.next();
};
const show = (ctx: FreshContext<State>) => ctx.text(ctx.state.text ?? "");

Deno.test("App - middlewares apply from top to bottom and left to right", async () => {
  const app = new App<State>()
    .use(append("A"), append("B"))
    .get("/", show)
    .use(append("C"))
    .get("/about", append("D"), show);
  assert.deepEqual(await ask(app, "/"), [200, "AB"]);
  assert.deepEqual(await ask(app, "/about"), [200, "ABCD"]);
});

Deno.test("App - a middleware at a path runs for what is below it", async () => {
  const app = new App<State>().use("/foo/bar", append("X")).get("/foo/bar/baz", show).get("/foo/barely", show);
  assert.deepEqual(await ask(app, "/foo/bar/baz"), [200, "X"]);
  assert.deepEqual(await ask(app, "/foo/barely"), [200, ""]);
});

Deno.test("App - lazy middlewares are loaded once", async () => {
  let loads = 0;
  const app = new App<State>()
    .use(() => {
      loads++;
      return Promise.resolve(append("lazy"));
    })
    .get("/", () => Promise.resolve(show));
  const handler = app.handler();
  for (let i = 0; i < 3; i++) {
    const response = await handler(new Request("http://localhost/"));
    assert.equal(await response.text(), "lazy");
  }
  assert.equal(loads, 1);
});

Deno.test("App - each method answers its own verb; others get 405 with Allow", async () => {
  const methods = ["get", "post", "put", "patch", "delete", "options"] as const;
  for (const method of methods) {
    const app = new App<State>()[method]("/x", () => new Response(method)).all("/any", () => new Response("any"));
    for (const other of methods) {
      const init = { method: other.toUpperCase() };
      assert.equal((await ask(app, "/x", init))[0], other === method ? 200 : 405, `${other} on ${method}`);
      assert.equal((await ask(app, "/any", init))[0], 200);
    }
  }
  const response = await new App().get("/", () => new Response()).post("/", () => new Response())
    .handler()(new Request("http://localhost/", { method: "PUT" }));
  assert.equal(response.headers.get("allow"), "GET, POST");
  assert.equal(await response.text(), "Method Not Allowed");
});

Deno.test("App - HEAD falls back to GET, without a body", async () => {
  const app = new App<State>().get("/", () => new Response("body", { headers: { "x-got": "1" } }));
  const response = await app.handler()(new Request("http://localhost/", { method: "HEAD" }));
  assert.equal(response.status, 200);
  assert.equal(response.headers.get("x-got"), "1");
  assert.equal(response.body, null);
  app.head("/", () => new Response(null, { status: 204 }));
  assert.equal((await ask(app, "/", { method: "HEAD" }))[0], 204);
});

Deno.test("App - static paths first, then dynamic ones in order; params are decoded; ctx.route is the pattern", async () => {
  const seen: (string | null)[] = [];
  const app = new App<State>()
    .use((ctx) => {
      seen.push(ctx.route);
      return ctx.next();
    })
    .get("/books/:id", (ctx) => ctx.text(`book ${ctx.params.id}`))
    .get("/books/new", (ctx) => ctx.text("new"))
    .get("/files/*", (ctx) => ctx.text("file"))
    .get("/old/:path*", (ctx) => ctx.text(`old ${ctx.params.path ?? ""}`));
  assert.deepEqual(await ask(app, "/books/a%20b%2Fc"), [200, "book a b/c"]);
  assert.deepEqual(await ask(app, "/books/new"), [200, "new"]);
  assert.deepEqual(await ask(app, "/files/a/b"), [200, "file"]);
  assert.deepEqual(await ask(app, "/old"), [200, "old "]);
  assert.deepEqual(await ask(app, "/old/a/b"), [200, "old a/b"]);
  assert.equal((await ask(app, "/none"))[0], 404);
  assert.deepEqual(seen, ["/books/:id", "/books/new", "/files/*", "/old/:path*", "/old/:path*", null]);
});

Deno.test("App - a path is matched as it is on the wire", async () => {
  const app = new App<State>().get("/admin", () => new Response("admin")).get("/café", () => new Response("café"));
  assert.equal((await ask(app, "/%61dmin"))[0], 404);
  assert.equal((await ask(app, "/café"))[0], 200);
});

Deno.test("App - basePath prefixes every route", async () => {
  const app = new App<State>({ basePath: "/foo/bar" }).get("/", (ctx) => ctx.text(ctx.config.basePath))
    .get("/x", () => new Response("x"));
  assert.deepEqual(await ask(app, "/foo/bar"), [200, "/foo/bar"]);
  assert.deepEqual(await ask(app, "/foo/bar/x"), [200, "x"]);
  assert.equal((await ask(app, "/x"))[0], 404);
});

Deno.test("App - mountApp adds another app below a path", async () => {
  const inner = new App<State>().use(append("inner")).get("/", show).get("/:name", (ctx) => ctx.text(ctx.params.name!));
  const app = new App<State>().use(append("outer ")).get("/", show).mountApp("/api/authors", inner);
  assert.deepEqual(await ask(app, "/"), [200, "outer "]);
  assert.deepEqual(await ask(app, "/api/authors"), [200, "outer inner"]);
  assert.deepEqual(await ask(app, "/api/authors/jane"), [200, "jane"]);
  const onRoot = new App<State>().use(append("outer ")).mountApp("/", inner);
  assert.deepEqual(await ask(onRoot, "/"), [200, "outer inner"]);
});

Deno.test("App - onError is nested; ctx.error is what was thrown", async () => {
  const app = new App<State>()
    .onError("*", (ctx) => ctx.text(`top ${ctx.error}`, { status: 500 }))
    .onError("/foo", (ctx) => ctx.text(`foo ${ctx.error}`, { status: 500 }))
    .get("/foo/thrower", () => {
      throw "one";
    })
    .get("/thrower", () => {
      throw new HttpError(409, "two");
    });
  assert.deepEqual(await ask(app, "/foo/thrower"), [500, "foo one"]);
  assert.deepEqual(await ask(app, "/thrower"), [500, "top HttpError: two"]);
  assert.deepEqual(await ask(app, "/none"), [500, "top HttpError: Not Found"]);
});

Deno.test("App - notFound answers every 404, and only those", async () => {
  const app = new App<State>()
    .onError("*", () => new Response("error", { status: 500 }))
    .notFound((ctx) => ctx.text("nothing here", { status: 404 }))
    .get("/thrower", () => {
      throw new HttpError(404);
    })
    .get("/broken", () => {
      throw new HttpError(403);
    });
  assert.deepEqual(await ask(app, "/none"), [404, "nothing here"]);
  assert.deepEqual(await ask(app, "/thrower"), [404, "nothing here"]);
  assert.deepEqual(await ask(app, "/broken"), [500, "error"]);
});

Deno.test("App - error pages pass through the middlewares that were added before them", async () => {
  const app = new App<State>()
    .use(async (ctx) => {
      const response = await ctx.next();
      response.headers.set("x-secured", "1");
      return response;
    })
    .onError("*", () => new Response("oops", { status: 500 }))
    .notFound(() => new Response("none", { status: 404 }))
    .get("/thrower", () => {
      throw new HttpError(500);
    });
  for (const path of ["/thrower", "/none"]) {
    const response = await app.handler()(new Request(`http://localhost${path}`));
    assert.equal(response.headers.get("x-secured"), "1", path);
  }
});

Deno.test("App - an error that a middleware throws reaches onError, even when that was added later", async () => {
  const app = new App<State>()
    .use(() => {
      throw new HttpError(401);
    })
    .onError("*", (ctx) => ctx.text("caught", { status: (ctx.error as HttpError).status }));
  assert.deepEqual(await ask(app, "/"), [401, "caught"]);
});

Deno.test("App - without handlers an HttpError shows its message, anything else nothing", async () => {
  const app = new App<State>()
    .get("/http", () => {
      throw new HttpError(403, "Admins only");
    })
    .get("/secret", () => {
      throw new Error("secret");
    })
    .get("/nothing", (() => undefined) as unknown as () => Response);
  assert.deepEqual(await ask(app, "/http"), [403, "Admins only"]);
  assert.deepEqual(await ask(app, "/secret"), [500, "Internal server error"]);
  assert.deepEqual(await ask(app, "/nothing"), [500, "Internal server error"]);
});

Deno.test("App - route() renders a component with its handler's data", async () => {
  const app = new App<State>().route("/about", {
    component: ({ data }) => <h1>About {(data as { name: string }).name}</h1>,
    handlers: { GET: () => page({ name: "Fresh" }, { status: 201, headers: { "x-page": "1" } }) },
  });
  const [status, html] = await ask(app, "/about");
  assert.equal(status, 201);
  assert.match(html, /<h1>About Fresh<\/h1>/);
  assert.equal((await ask(app, "/about", { method: "POST" }))[0], 405);
});

Deno.test("App - layouts nest inside the app wrapper, and can be skipped", async () => {
  const app = new App<State>()
    .appWrapper(({ Component }) => (
      <body>
        app/<Component />
      </body>
    ))
    .layout("*", ({ Component }) => (
      <>
        one/<Component />
      </>
    ))
    .layout("/in", async ({ Component }) =>
      await Promise.resolve(
        <>
          two/<Component />
        </>,
      ))
    .layout("/skip", ({ Component }) => (
      <>
        three/<Component />
      </>
    ), { skipInheritedLayouts: true })
    .layout("/bare", ({ Component }) => (
      <i>
        four/<Component />
      </i>
    ), { skipAppWrapper: true, skipInheritedLayouts: true })
    .get("/", (ctx) => ctx.render(<b>page</b>))
    .get("/in/page", (ctx) => ctx.render(<b>page</b>))
    .get("/skip/page", (ctx) => ctx.render(<b>page</b>))
    .get("/bare/page", (ctx) => ctx.render(<b>page</b>))
    .get("/none", (ctx) => ctx.render(<b>page</b>, {}, { skipAppWrapper: true, skipInheritedLayouts: true }));
  const text = async (path: string) => (await ask(app, path))[1].replaceAll(/<[^>]*>/g, "");
  assert.equal(await text("/"), "app/one/page");
  assert.equal(await text("/in/page"), "app/one/two/page");
  assert.equal(await text("/skip/page"), "app/three/page");
  assert.equal(await text("/bare/page"), "four/page");
  assert.equal(await text("/none"), "page");
});
