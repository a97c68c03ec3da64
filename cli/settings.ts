/**
 * @file Where a command's settings come from: a flag goes before RENDERFARM_* in the environment,
 * which goes before ./renderfarm.yaml, which goes before the file in the user's own folder.
 */
import { existsSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import type { Command, Option } from "commander";
import { parse } from "yaml";
import { didYouMean } from "../shared/core/closest-name.js";
import { refuseViolations, type Violation } from "../shared/core/errors.js";

export type Environment = Readonly<Record<string, string | undefined>>;

/** Flags that belong to one call: nobody means them for every call from now on. */
const CALLS_OWN = new Set([
  ...[
    "out",
    "json",
    "batch",
    "latents",
    "seed",
    "detach",
    "dry-run",
    "request-id",
    "force",
    "selector",
  ],
  ...[
    "start-after",
    "deadline",
    "depends-on",
    "from-step",
    "clip",
    "chunk",
    "state",
    "limit",
    "origin",
    "file",
    "server",
    "version",
  ],
]);
/** Names one file in place of the two. */
const FILE_VARIABLE = "RENDERFARM_CONFIG";
/** Variables that other parts read; here they only tell where a value comes from. */
const SECRETS = new Set(["token"]);

/** A setting that has a value, and who gave it. */
export interface Setting {
  readonly name: string;
  readonly value: string;
  /** "--address", "RENDERFARM_ADDRESS", or the path of a file. */
  readonly origin: string;
}

/** Fills in what the command line of each command leaves out, before it runs. */
export function addSettings(program: Command, env: Environment, cwd: string): void {
  program.hook("preAction", (_program, command) => {
    const given = readSettings(program, env, cwd);
    for (const owner of [program, command]) fillIn(owner, given);
  });
}

function fillIn(command: Command, given: ReadonlyMap<string, Setting>): void {
  for (const option of command.options) {
    const setting = given.get(nameOf(option));
    const source = command.getOptionValueSource(option.attributeName());
    if (setting === undefined || source === "cli") continue;
    const takesValue = option.required || option.optional;
    if (!takesValue && !isOn(setting)) continue;
    const value = takesValue ? setting.value : !option.negate;
    command.setOptionValueWithSource(option.attributeName(), value, "env");
  }
}

/**
 * Every setting that the environment or a file gives, by name.
 *
 * @throws FarmError "invalid-argument" with every unknown key and unreadable file at once
 */
export function readSettings(
  program: Command,
  env: Environment,
  cwd: string,
): ReadonlyMap<string, Setting> {
  const names = settableNames(program);
  const violations: Violation[] = [];
  const settings = new Map<string, Setting>();
  for (const path of settingFiles(env, cwd)) {
    for (const [name, value] of readFile(path, names, violations)) {
      settings.set(name, { name, value, origin: path });
    }
  }
  for (const name of names) {
    const origin = variableOf(name);
    const value = env[origin];
    if (value) settings.set(name, { name, value, origin });
  }
  refuseViolations(violations);
  return settings;
}

/** A setting's value, as far as it may be shown. */
export function shownValue({ name, value }: Setting): string {
  return SECRETS.has(name) ? "(secret)" : value;
}

/** Names of flags, of any command, that may be set once for all calls. */
export function settableNames(program: Command): string[] {
  const commands = program.commands.flatMap((command) => [command, ...command.commands]);
  const names = [program, ...commands].flatMap((each) => each.options.map(nameOf));
  return [...new Set(names)].filter((name) => !CALLS_OWN.has(name)).sort();
}

function variableOf(name: string): string {
  return `RENDERFARM_${name.toUpperCase().replaceAll("-", "_")}`;
}

/** The weakest first. */
function settingFiles(env: Environment, cwd: string): string[] {
  const named = env[FILE_VARIABLE];
  if (named) return [named];
  const own = join(env["XDG_CONFIG_HOME"] || join(homedir(), ".config"), "renderfarm/config.yaml");
  return [own, join(cwd, "renderfarm.yaml")].filter((path) => existsSync(path));
}

function readFile(
  path: string,
  names: readonly string[],
  violations: Violation[],
): [name: string, value: string][] {
  const refuse = (field: string, description: string) => {
    violations.push({ field: field === "" ? path : `${path} ${field}`, description });
  };
  let content: unknown;
  try {
    content = parse(readFileSync(path, "utf8")) ?? {};
  } catch (error) {
    const [reason] = (error as Error).message.split("\n");
    refuse("", `cannot be read: ${reason}`);
    return [];
  }
  if (typeof content !== "object" || Array.isArray(content)) {
    refuse("", "holds no keys such as 'address: 127.0.0.1:7433'");
    return [];
  }
  return Object.entries(content as object).flatMap(([name, value]: [string, unknown]) => {
    if (!names.includes(name)) {
      refuse(name, `is no setting${didYouMean(name, names)}`);
      return [];
    }
    const values = [value].flat();
    const isPlain = values.every((each) => ["string", "number", "boolean"].includes(typeof each));
    if (!isPlain) refuse(name, "is neither a text, a number, true or false, nor a list of them");
    return isPlain ? [[name, values.join(",")] as [string, string]] : [];
  });
}

/** "--num-frames" is num-frames. */
function nameOf(option: Option): string {
  return option.long?.replace(/^--/, "") ?? option.attributeName();
}

function isOn({ value }: Setting): boolean {
  return value === "1" || value.toLowerCase() === "true";
}
