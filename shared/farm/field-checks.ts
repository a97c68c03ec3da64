/**
 * @file Single values of a request, from text or from the wire; what is wrong is collected, never
 * thrown, so that a user hears of every mistake at once.
 */
import type { Violation } from "../core/errors.js";
import type { Range } from "./limits.js";

/** A value, or the text that a user wrote for it. */
export type Raw<T> = T | string;

/** Decimal notation only: "0x10", "1_000" and "" are no numbers here. */
const NUMBER_PATTERN = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/;
/** Longest piece of a user's text that a message repeats. */
const SHOWN_LENGTH_MAX = 60;

export class FieldChecks {
  readonly violations: Violation[];
  readonly #spell: (field: string) => string;

  /**
   * @param spell how the caller writes a field that is `snake_case` here, e.g. as a flag
   * @param violations gets what is wrong; others may add to it
   */
  constructor(spell: (field: string) => string, violations: Violation[] = []) {
    this.#spell = spell;
    this.violations = violations;
  }

  /** Checks of the fields inside a field: "clips[3]." goes before each name. */
  within(prefix: string): FieldChecks {
    return new FieldChecks((field) => this.#spell(`${prefix}${field}`), this.violations);
  }

  /** The caller's name of a field, for texts that mention another one. */
  spell(field: string): string {
    return this.#spell(field);
  }

  refuse(field: string, description: string): void {
    this.violations.push({ field: this.#spell(field), description });
  }

  /** A whole number in a range; `fallback` where it is absent, and where it is wrong. */
  whole(field: string, raw: Raw<number> | undefined, range: Range, fallback: number): number {
    if (raw === undefined) return fallback;
    const value = toNumber(raw);
    if (Number.isSafeInteger(value) && isWithin(value, range)) return value;
    this.refuse(field, `${show(raw)} is no whole number from ${range.min} to ${range.max}`);
    return fallback;
  }

  /** A finite number in a range; `fallback` where it is absent, and where it is wrong. */
  real(field: string, raw: Raw<number> | undefined, range: Range, fallback: number): number {
    if (raw === undefined) return fallback;
    const value = toNumber(raw);
    if (Number.isFinite(value) && isWithin(value, range)) return value;
    this.refuse(field, `${show(raw)} is no number from ${range.min} to ${range.max}`);
    return fallback;
  }
}

/** NaN for a text that is no number. */
export function toNumber(raw: Raw<number>): number {
  if (typeof raw === "number") return raw;
  const text = raw.trim();
  return NUMBER_PATTERN.test(text) ? Number(text) : Number.NaN;
}

/** The parts of a list "a,b,c", without the blanks around them. */
export function splitList(text: string): string[] {
  return text.split(",").map((part) => part.trim());
}

/** A user's value, fit for a message. */
export function show(raw: unknown): string {
  const text = String(raw);
  return `'${text.length > SHOWN_LENGTH_MAX ? `${text.slice(0, SHOWN_LENGTH_MAX - 3)}...` : text}'`;
}

function isWithin(value: number, { min, max }: Range): boolean {
  return value >= min && value <= max;
}
