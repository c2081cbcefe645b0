/** Splits a custom command line into program and arguments, as a person expects of a shell, without running one. Pure. */

/** Throws a SyntaxError when a quote is not closed. Single quotes take everything; in double quotes a backslash escapes. */
export function splitCommandLine(text: string): string[] {
  const words: string[] = [];
  let word: string | null = null;
  let quote = "";
  for (let at = 0; at < text.length; at++) {
    const char = text[at]!;
    if (quote === "'") {
      if (char === "'") quote = "";
      else word += char;
    } else if (char === "\\" && at + 1 < text.length && (quote === "" || '"\\'.includes(text[at + 1]!))) {
      word = (word ?? "") + text[++at];
    } else if (quote !== "") {
      if (char === quote) quote = "";
      else word += char;
    } else if (char === "'" || char === '"') {
      quote = char;
      word ??= "";
    } else if (/\s/.test(char)) {
      if (word !== null) words.push(word);
      word = null;
    } else word = (word ?? "") + char;
  }
  if (quote !== "") throw new SyntaxError(`The command has an opening ${quote} without a closing one.`);
  if (word !== null) words.push(word);
  return words;
}
