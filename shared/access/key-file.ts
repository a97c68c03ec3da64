/** @file The coordinator's file of keys and quotas, written by `renderfarm keys`. */
import { existsSync } from "node:fs";
import * as z from "zod";
import { readSecretFile, writeFileWhole } from "../adapters/files/secret-file.js";
import { FarmError } from "../core/errors.js";
import { parseStrictJson } from "../core/strict-json.js";
import type { ApiKey } from "./api-key.js";
import { QUOTA_DEFAULT, type Quota } from "./quota.js";
import { SCOPES } from "./scopes.js";

export interface KeyFile {
  readonly keys: readonly ApiKey[];
  /** By owner; who is not here has the default. */
  readonly quotas: ReadonlyMap<string, Quota>;
}

const OWNER_PATTERN = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const DEPTH_MAX = 8;

const whole = z.number().int().min(0);
const time = z.iso.datetime().transform((text) => Date.parse(text));
const owner = z.string().regex(OWNER_PATTERN);

const quotaSchema = z.strictObject({
  queuedJobs: whole.default(QUOTA_DEFAULT.queuedJobs),
  runningJobs: whole.default(QUOTA_DEFAULT.runningJobs),
  submitsPerSecond: z.number().positive().default(QUOTA_DEFAULT.submitsPerSecond),
  submitBurst: z.number().int().min(1).default(QUOTA_DEFAULT.submitBurst),
  inputBytesPerHour: whole.default(QUOTA_DEFAULT.inputBytesPerHour),
});

const fileSchema = z.strictObject({
  version: z.literal(1),
  keys: z.array(
    z.strictObject({
      id: z.string().regex(/^[a-f0-9]{12}$/),
      sha256: z.string().regex(/^[a-f0-9]{64}$/),
      owner,
      scopes: z.array(z.enum(SCOPES)).min(1),
      created: time,
      expires: time.nullable(),
      revoked: time.nullable(),
    }),
  ),
  quotas: z.record(owner, quotaSchema).default({}),
});

/** Whether an owner's name may stand in a key. */
export function isOwnerName(name: string): boolean {
  return OWNER_PATTERN.test(name);
}

/**
 * @throws FarmError "invalid-argument" when it cannot be read, everyone may read it, or something in
 *   it is not what it must be
 */
export function readKeyFile(path: string): KeyFile {
  const text = readSecretFile(path, "--api-keys");
  const refuse = (why: string) => {
    throw new FarmError("invalid-argument", `--api-keys: ${path}: ${why}`);
  };
  let json: unknown;
  try {
    json = parseStrictJson(text, { depthMax: DEPTH_MAX });
  } catch (error) {
    return refuse((error as Error).message);
  }
  const found = fileSchema.safeParse(json);
  if (!found.success) return refuse(z.prettifyError(found.error).replaceAll("\n", " "));
  const keys = found.data.keys.map(({ created, expires, revoked, ...rest }) => ({
    ...rest,
    ...{ createdAtMs: created, expiresAtMs: expires, revokedAtMs: revoked },
  }));
  if (new Set(keys.map(({ id }) => id)).size < keys.length) return refuse("has an id twice");
  return { keys, quotas: new Map(Object.entries(found.data.quotas)) };
}

/** As `readKeyFile`; a file that is not there yet is one without keys. */
export function readKeyFileOrNone(path: string): KeyFile {
  return existsSync(path) ? readKeyFile(path) : { keys: [], quotas: new Map() };
}

/** Replaces the file at once, with mode 0600. */
export function writeKeyFile(path: string, { keys, quotas }: KeyFile): void {
  const iso = (ms: number | null) => (ms === null ? null : new Date(ms).toISOString());
  const written = {
    version: 1,
    keys: keys.map(({ createdAtMs, expiresAtMs, revokedAtMs, ...rest }) => ({
      ...rest,
      ...{ created: iso(createdAtMs), expires: iso(expiresAtMs), revoked: iso(revokedAtMs) },
    })),
    quotas: Object.fromEntries(quotas),
  };
  writeFileWhole(path, `${JSON.stringify(written, null, 2)}\n`, 0o600);
}
