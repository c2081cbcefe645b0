import { HttpError } from "fresh";
import { define } from "../define.ts";

export default define.page(({ error }) => (
  <p class="error">{error instanceof HttpError ? `Status ${error.status}` : "Something went wrong"}</p>
));
