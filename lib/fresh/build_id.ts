/**
 * The id of the build that this isolate serves, for `asset()`, which has no context to read it from. Set once, when the
 * build is given to the app. In the browser it is read from the page.
 */
const build = { id: "dev" };

/** Sets the id of the build. */
export function setBuildId(id: string): void {
  build.id = id;
}

/** The id of the build. */
export function buildId(): string {
  return build.id;
}
