/** Text as a terminal sends what is pasted: no control characters, so that it cannot end its own brackets. */
export function pastedText(text: string, isBracketed: boolean): string {
  // deno-lint-ignore no-control-regex -- these are what is removed
  const plain = text.replaceAll(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]/g, "").replaceAll(
    /\r?\n/g,
    "\r",
  );
  return isBracketed ? `\x1b[200~${plain}\x1b[201~` : plain;
}
