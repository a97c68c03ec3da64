/** @file `renderfarm keys`: the file of users' keys that a coordinator reads while it runs. */
import type { Command } from "commander";
import { type ApiKey, newApiKey, stateOf } from "../shared/access/api-key.js";
import {
  isOwnerName,
  readKeyFile,
  readKeyFileOrNone,
  writeKeyFile,
} from "../shared/access/key-file.js";
import { SCOPES, type Scope } from "../shared/access/scopes.js";
import { takeLock } from "../shared/adapters/files/lock-file.js";
import { FarmError, refuseViolations, type Violation } from "../shared/core/errors.js";
import { printTable } from "./table.js";
import { note } from "./voice.js";

interface KeyFlags {
  readonly apiKeys?: string;
}

interface CreateFlags extends KeyFlags {
  readonly owner?: string;
  readonly scopes?: string;
  readonly expires?: string;
}

const FILE_VARIABLE = "RENDERFARM_API_KEYS";
const FILE_DEFAULT = "keys.json";
const SCOPES_DEFAULT = "submit,read,cancel";
const EXPIRES_DEFAULT = "90d";
const LIFE_PATTERN = /^(\d{1,5})([hd])$/;
const UNIT_MS: Readonly<Record<string, number>> = { h: 3_600_000, d: 86_400_000 };

export function addKeyVerbs(program: Command): void {
  const keys = program.command("keys").description("users' keys, in the coordinator's file");
  const verb = (name: string, description: string) =>
    keys
      .command(name)
      .description(description)
      .option("--api-keys <file>", `the file (default: $${FILE_VARIABLE}, or ${FILE_DEFAULT})`);

  verb("create", "a new key, printed once")
    .option("--owner <name>", "whose jobs it sends and sees")
    .option("--scopes <list>", `any of ${SCOPES.join(",")} (default: ${SCOPES_DEFAULT})`)
    .option("--expires <time>", `12h, 30d, or never (default: ${EXPIRES_DEFAULT})`)
    .action(create);
  verb("list", "every key, without its secret").action(list);
  verb("revoke <id>", "refuse a key from now on; its streams are cut within seconds").action(
    revoke,
  );
}

async function create(flags: CreateFlags): Promise<void> {
  const violations: Violation[] = [];
  const { owner = "" } = flags;
  if (!isOwnerName(owner)) {
    const description = `'${owner.slice(0, 70)}' is not 1 to 63 of [a-z0-9-], no dash at its ends`;
    violations.push({ field: "--owner", description });
  }
  const scopes = readScopes(flags.scopes ?? SCOPES_DEFAULT, violations);
  const nowMs = Date.now();
  const expiresAtMs = readEnd(flags.expires ?? EXPIRES_DEFAULT, nowMs, violations);
  refuseViolations(violations);
  const { key, token } = newApiKey({ owner, scopes, nowMs, expiresAtMs });
  await changeKeys(pathOf(flags), (keys) => [...keys, key]);
  process.stdout.write(`${token}\n`);
  note(`key ${key.id} of ${owner}; it is shown this once, keep it in a file`);
}

function list(flags: KeyFlags): void {
  const iso = (ms: number | null) => (ms === null ? "never" : new Date(ms).toISOString());
  printTable(
    ["ID", "OWNER", "SCOPES", "STATE", "CREATED", "EXPIRES"],
    readKeyFile(pathOf(flags)).keys.map((key) => [
      ...[key.id, key.owner, key.scopes.join(","), stateOf(key, Date.now())],
      ...[iso(key.createdAtMs), iso(key.expiresAtMs)],
    ]),
  );
}

async function revoke(id: string, flags: KeyFlags): Promise<void> {
  const path = pathOf(flags);
  await changeKeys(path, (keys) => {
    if (!keys.some((key) => key.id === id)) {
      throw new FarmError("not-found", `${path} has no key '${id.slice(0, 40)}'; see keys list`);
    }
    const revokedAtMs = Date.now();
    return keys.map((key) => (key.id === id ? { ...key, revokedAtMs } : key));
  });
  process.stdout.write(`${id} revoked\n`);
}

/** One change at a time, and all of it or nothing. */
async function changeKeys(
  path: string,
  change: (keys: readonly ApiKey[]) => readonly ApiKey[],
): Promise<void> {
  const unlock = await takeLock(`${path}.lock`);
  try {
    const file = readKeyFileOrNone(path);
    writeKeyFile(path, { ...file, keys: change(file.keys) });
  } finally {
    await unlock();
  }
}

function pathOf({ apiKeys }: KeyFlags): string {
  return apiKeys ?? (process.env[FILE_VARIABLE] || FILE_DEFAULT);
}

function readScopes(text: string, violations: Violation[]): Scope[] {
  const words = text.split(",");
  const found = words.flatMap((word) => SCOPES.filter((scope) => scope === word));
  if (found.length < words.length) {
    const description = `'${text.slice(0, 60)}' is no list of ${SCOPES.join(", ")}`;
    violations.push({ field: "--scopes", description });
  }
  return [...new Set(found)];
}

function readEnd(text: string, nowMs: number, violations: Violation[]): number | null {
  if (text === "never") return null;
  const [, count, unit] = LIFE_PATTERN.exec(text) ?? [];
  if (count === undefined || Number(count) === 0) {
    const description = `'${text.slice(0, 40)}' is no time such as 12h or 30d, nor never`;
    violations.push({ field: "--expires", description });
    return null;
  }
  return nowMs + Number(count) * UNIT_MS[unit!]!;
}
