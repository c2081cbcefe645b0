/**
 * xterm.js under a strict content security policy: it makes `<style>` elements, which need the page's nonce, and sets `style`
 * attributes on `<span>`, which no nonce can allow and the CSSOM can. Nothing of the policy is loosened. Its option
 * `documentOverride` does not reach all places, so `document.createElement` itself prepares these two kinds of elements.
 */

/** The nonce of this page's scripts and styles. */
function pageNonce(): string {
  return document.querySelector<HTMLScriptElement>("script[nonce]")?.nonce ?? "";
}

/** From now on the elements that this page creates may be styled as xterm does it. Does nothing the second time. */
export function allowStyles(): void {
  if (Object.hasOwn(document, "createElement")) return;
  const create = Document.prototype.createElement;
  const nonce = pageNonce();
  const createElement = (tag: string, options?: ElementCreationOptions): HTMLElement => {
    const element = create.call(document, tag, options);
    if (element instanceof HTMLStyleElement) element.nonce = nonce;
    else if (element instanceof HTMLSpanElement) element.setAttribute = setSpanAttribute;
    return element;
  };
  Object.defineProperty(document, "createElement", { value: createElement, configurable: true });
}

function setSpanAttribute(this: HTMLElement, name: string, value: string): void {
  if (name === "style") this.style.cssText = value;
  else Element.prototype.setAttribute.call(this, name, value);
}
