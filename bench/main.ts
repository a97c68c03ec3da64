/**
 * @file `npm run bench`: the engine; `npm run bench -- farm`: the farm around it;
 * `npm run bench -- diffusers`: both beside diffusers; `npm run bench -- transport`: what goes between
 * the processes; `npm run bench -- scale`: what one coordinator, NATS server and bucket carry;
 * `npm run bench -- full-size`: SVD's own size with random weights;
 * `npm run bench -- gpu`: a GPU at that size, beside diffusers on it;
 * `npm run bench -- profile`: where a half of a step goes, operator by operator;
 * `npm run bench -- memory`: what is foreseen of peaks; `npm run bench -- guard`: what got worse;
 * `npm run bench -- cache`: what feature caching saves and changes;
 * `npm run bench -- batching`: whether several clips in one run of the UNet would be faster.
 */
import { FarmError } from "../shared/core/errors.js";
import { benchBatching } from "./batching.js";
import { benchCache } from "./cache/main.js";
import { benchDiffusers } from "./diffusers/main.js";
import { benchEngine } from "./engine-table.js";
import { benchFarm } from "./farm/main.js";
import { benchFullSize } from "./full-size/main.js";
import { benchGpu } from "./gpu/main.js";
import { benchGuard } from "./guard.js";
import { benchMemory } from "./memory/main.js";
import { benchProfile } from "./profile/main.js";
import { benchScale } from "./scale/main.js";
import { benchTransport } from "./transport/main.js";

const [subject, ...args] = process.argv.slice(2);
const BENCHES: Readonly<Record<string, (args: readonly string[]) => Promise<boolean>>> = {
  engine: benchEngine,
  farm: benchFarm,
  diffusers: benchDiffusers,
  transport: benchTransport,
  scale: benchScale,
  memory: benchMemory,
  profile: benchProfile,
  cache: benchCache,
  batching: benchBatching,
  guard: benchGuard,
  gpu: benchGpu,
  "full-size": benchFullSize,
};
const bench = BENCHES[subject ?? "engine"];
if (!bench) {
  process.stderr.write(
    `bench ${subject} is unknown; legal are ${Object.keys(BENCHES).join(", ")}\n`,
  );
  process.exit(2);
}
try {
  process.exitCode = (await bench(args)) ? 0 : 1;
} catch (error) {
  const said = misuse(error);
  if (said === null) throw error;
  process.stderr.write(`${said}\n`);
  process.exitCode = 2;
}

/** What is wrong with the flags; null where something else is wrong. */
function misuse(error: unknown): string | null {
  if (error instanceof FarmError) return error.code === "invalid-argument" ? error.detail : null;
  const { code, message } = error as NodeJS.ErrnoException;
  return code?.startsWith("ERR_PARSE_ARGS") ? message : null;
}
