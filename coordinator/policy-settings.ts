/** @file What an operator may set of the farm's policy: shares of owners, and what is kept how long. */
import { parseDuration } from "../shared/core/durations.js";
import type { SettingReader } from "../shared/settings/setting-reader.js";
import { type FarmPolicy, POLICY_DEFAULT } from "./shell/farm-loop.js";

export const POLICY_FLAGS = {
  "owner-accelerators": { type: "string" },
  "keep-intermediates": { type: "string" },
  "keep-outputs": { type: "string" },
} as const;

export const POLICY_USAGE = `  --owner-accelerators N     most accelerators that one owner holds  RENDERFARM_OWNER_ACCELERATORS
                             at a time (all)
  --keep-intermediates TIME  latents and chunks of ended jobs (1h)   RENDERFARM_KEEP_INTERMEDIATES
  --keep-outputs TIME        ended jobs and their files (30d)        RENDERFARM_KEEP_OUTPUTS
                             TIME: 90s, 10m, 2h, 30d
`;

/** More than any farm has; the point is to catch a typing error. */
const ACCELERATORS_MAX = 100_000;

/** Notes every wrong setting with the reader. */
export function readPolicy(reader: SettingReader): FarmPolicy {
  const hasLimit = reader.optional("owner-accelerators") !== null;
  const range = [1, ACCELERATORS_MAX] as const;
  const policy: FarmPolicy = {
    ownerAcceleratorsMax: hasLimit ? reader.integer("owner-accelerators", range, 1) : null,
    intermediatesKeptMs: readTime(reader, "keep-intermediates", POLICY_DEFAULT.intermediatesKeptMs),
    outputsKeptMs: readTime(reader, "keep-outputs", POLICY_DEFAULT.outputsKeptMs),
  };
  reader.check(
    "--keep-outputs",
    policy.outputsKeptMs >= policy.intermediatesKeptMs,
    "is shorter than --keep-intermediates; files go last",
  );
  return policy;
}

function readTime(reader: SettingReader, flag: string, otherwiseMs: number): number {
  const text = reader.optional(flag);
  if (text === null) return otherwiseMs;
  const ms = parseDuration(text);
  reader.check(
    `--${flag}`,
    ms !== null,
    `"${text}" is no span of time such as 90s, 10m, 2h or 30d`,
  );
  return ms ?? otherwiseMs;
}
