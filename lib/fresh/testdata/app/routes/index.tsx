import { define } from "../define.ts";

export default define.page(({ state }) => <h1>{state.greeting}, static page</h1>);
