/**
 * xterm.js under a strict content security policy: it makes `<style>` elements, which need the page's nonce, and sets `style`
 * attributes, which no nonce can allow and the CSSOM can. Nothing of the policy is loosened.
 */

/** The nonce of this page's scripts and styles. */
function pageNonce(): string {
  return document.querySelector<HTMLScriptElement>("script[nonce]")?.nonce ?? "";
}

function prepared<T extends Element>(element: T): T {
  if (element instanceof HTMLStyleElement) element.nonce = pageNonce();
  else if (element instanceof HTMLSpanElement) {
    const setAttribute = element.setAttribute.bind(element);
    element.setAttribute = (name, value) => {
      if (name === "style") element.style.cssText = value;
      else setAttribute(name, value);
    };
  }
  return element;
}

/** The page's document for xterm's `documentOverride`: what it creates may be styled. */
export function styledDocument(): Document {
  return new Proxy(document, {
    get(target, name) {
      if (name === "createElement") return (tag: string) => prepared(target.createElement(tag));
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
    set: (target, name, value) => Reflect.set(target, name, value, target),
  });
}

/** Runs `work` with a `document.createElement` that prepares elements: for the parts of xterm that ignore `documentOverride`. */
export function withStyledElements(work: () => void): void {
  const create = Document.prototype.createElement;
  const patched = (tag: string, options?: ElementCreationOptions) => prepared(create.call(document, tag, options));
  document.createElement = patched as typeof document.createElement;
  try {
    work();
  } finally {
    // The prototype's own shows again.
    Reflect.deleteProperty(document, "createElement");
  }
}
