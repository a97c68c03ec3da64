/** @file JSON from files that nobody vouches for: bounded in depth, every key once, no `__proto__`. */

/** What a text may look like. */
export interface StrictJsonLimits {
  /** Arrays and objects inside each other; `[[]]` is 2 deep. */
  readonly depthMax: number;
}

/**
 * Parses JSON that `JSON.parse` alone would accept too easily or not survive.
 *
 * Deep nesting overflows a recursive parser's stack, and of two equal keys the last one wins in
 * silence, so both are looked for before the text is parsed.
 *
 * @throws SyntaxError not JSON, nested deeper than `depthMax`, a key twice in one object, or a key
 *   that would reach an object's prototype
 */
export function parseStrictJson(text: string, limits: StrictJsonLimits): unknown {
  scanStructure(text, limits.depthMax);
  return JSON.parse(text);
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COLON = 0x3a;
const COMMA = 0x2c;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

/** Walks the brackets and the keys only; whatever else is wrong is left to JSON.parse. */
function scanStructure(text: string, depthMax: number): void {
  /** One entry a container: the keys so far of an object, null for an array. */
  const open: (Set<string> | null)[] = [];
  let keyNext = false;
  for (let at = 0; at < text.length; at++) {
    switch (text.charCodeAt(at)) {
      case OPEN_OBJECT:
      case OPEN_ARRAY:
        keyNext = text.charCodeAt(at) === OPEN_OBJECT;
        open.push(keyNext ? new Set() : null);
        if (open.length > depthMax) throw new SyntaxError(`nested deeper than ${depthMax} levels`);
        break;
      case CLOSE_OBJECT:
      case CLOSE_ARRAY:
        open.pop();
        keyNext = false;
        break;
      case COMMA:
        keyNext = open.at(-1) instanceof Set;
        break;
      case COLON:
        keyNext = false;
        break;
      case QUOTE: {
        const end = endOfString(text, at);
        const keys = open.at(-1);
        if (keyNext && keys instanceof Set) addKey(keys, text.slice(at, end));
        at = end - 1;
        break;
      }
      default:
    }
  }
}

/** The position after the closing quote of the string that opens at `start`. */
function endOfString(text: string, start: number): number {
  for (let at = start + 1; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === BACKSLASH) at++;
    else if (code === QUOTE) return at + 1;
  }
  throw new SyntaxError("a string without an end");
}

/** Two spellings of one key ("a", "\u0061") are one key, so the literal is decoded first. */
function addKey(keys: Set<string>, literal: string): void {
  const key = JSON.parse(literal) as string;
  const shown = quoteName(key);
  if (key === "__proto__") throw new SyntaxError(`key ${shown} is not allowed`);
  if (keys.has(key)) throw new SyntaxError(`key ${shown} twice in one object`);
  keys.add(key);
}

/** A name from a file, fit for a message: quoted, control characters escaped, 120 characters at most. */
export function quoteName(name: string): string {
  return JSON.stringify(name.length > 120 ? `${name.slice(0, 117)}...` : name);
}
