import { define } from "../define.ts";

export const handler = define.handlers({
  GET: (ctx) => ctx.json({ greeting: ctx.state.greeting }),
  POST: () => {
    throw new Error("secret detail");
  },
});
