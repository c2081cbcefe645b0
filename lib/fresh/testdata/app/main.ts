import { App, csp, staticFiles } from "fresh";

export const app = new App<{ greeting: string }>()
  .use(csp({ useNonce: true }))
  .use(staticFiles())
  .use((ctx) => {
    ctx.state.greeting = "hello";
    return ctx.next();
  })
  .fsRoutes();
