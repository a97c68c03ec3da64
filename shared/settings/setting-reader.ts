/**
 * @file How every program of this project reads its settings: a flag goes before `RENDERFARM_*` in
 * the environment, which goes before the file that `RENDERFARM_*_FILE` names, which goes before the
 * default. Wrong settings are collected, so that a person sees all of them at once.
 */
import { parseArgs } from "node:util";
import { FarmError, refuseViolations, type Violation } from "../core/errors.js";

/** Flags of a program: what each takes. */
export type FlagKinds = Readonly<Record<string, { readonly type: "string" | "boolean" }>>;

export type Environment = Readonly<Record<string, string | undefined>>;

/** Where settings come from; the file reader is given so that a test needs no disk. */
export interface SettingSources {
  /** The command line after the script's name. */
  readonly args: readonly string[];
  readonly env: Environment;
  /** Text of a file; throws when it cannot be read. */
  readonly readFile: (path: string) => string;
}

/** The variable that stands for a flag: `--bus-listen` is RENDERFARM_BUS_LISTEN. */
function variableOf(flag: string): string {
  return `RENDERFARM_${flag.toUpperCase().replaceAll("-", "_")}`;
}

export class SettingReader {
  readonly #flags: Readonly<Record<string, string | boolean | undefined>>;
  readonly #sources: SettingSources;
  readonly #violations: Violation[] = [];

  /** @throws FarmError "invalid-argument" for an unknown flag, or a flag without its value */
  constructor(kinds: FlagKinds, sources: SettingSources) {
    this.#sources = sources;
    try {
      const { values } = parseArgs({ args: [...sources.args], options: kinds, strict: true });
      this.#flags = values as Record<string, string | boolean | undefined>;
    } catch (error) {
      throw new FarmError("invalid-argument", (error as Error).message, { cause: error });
    }
  }

  /** Whether a flag without a value was given, or its variable is "1" or "true". */
  isSet(flag: string): boolean {
    const value = this.#flags[flag] ?? this.optional(flag);
    return value === true || value === "1" || value === "true";
  }

  /** A setting that may be absent; an empty variable counts as absent. */
  optional(flag: string): string | null {
    const given = this.#flags[flag];
    if (typeof given === "string" && given !== "") return given;
    const variable = variableOf(flag);
    const direct = this.#sources.env[variable];
    if (direct) return direct;
    const path = this.#sources.env[`${variable}_FILE`];
    return path ? this.#fromFile(`${variable}_FILE`, path) : null;
  }

  /** A setting with a default; without one it must be given, and "" stands for what is missing. */
  text(flag: string, otherwise?: string): string {
    const value = this.optional(flag) ?? otherwise;
    if (value !== undefined) return value;
    this.refuse(`--${flag}`, `is missing; give --${flag} or set ${variableOf(flag)}`);
    return "";
  }

  /** One of a list of words. */
  choice<const T extends string>(flag: string, legal: readonly T[], otherwise: T): T {
    const value = this.text(flag, otherwise);
    const found = legal.find((word) => word === value);
    if (found === undefined) {
      this.refuse(`--${flag}`, `"${value}" is not one of ${legal.join(", ")}`);
    }
    return found ?? otherwise;
  }

  /** An integer of a range. */
  integer(flag: string, range: readonly [min: number, max: number], otherwise: number): number {
    const value = this.text(flag, String(otherwise));
    const [min, max] = range;
    const number = Number(value);
    if (/^\d+$/.test(value) && number >= min && number <= max) return number;
    this.refuse(`--${flag}`, `"${value}" is not an integer from ${min} to ${max}`);
    return otherwise;
  }

  /** Notes a wrong setting; `done` refuses with all of them. */
  refuse(field: string, description: string): void {
    this.#violations.push({ field, description });
  }

  /** Notes a wrong setting unless it is legal. */
  check(field: string, isLegal: boolean, description: string): void {
    if (!isLegal) this.refuse(field, description);
  }

  /** @throws FarmError "invalid-argument" with every wrong setting at once */
  done(): void {
    refuseViolations(this.#violations);
  }

  #fromFile(variable: string, path: string): string | null {
    try {
      return this.#sources.readFile(path).trim() || null;
    } catch (error) {
      this.refuse(variable, `"${path}" cannot be read: ${(error as Error).message}`);
      return null;
    }
  }
}
