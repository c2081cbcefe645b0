/** Only loaded on demand: a chunk of its own. */
export const message = "loaded late";
