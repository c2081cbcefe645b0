import { define } from "@/utils.ts";

/** Where other isolates of this hub connect for the mesh's messages, with a ticket of their own in place of a person's credential. */
export const handler = define.handlers({
  GET: ({ req, state: { hub } }) => hub.mesh.upgrade(req),
});
