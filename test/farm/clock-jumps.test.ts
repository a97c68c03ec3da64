/**
 * @file The wall clock of real processes jumps while they work: no lease ends, no deadline passes,
 * nothing is begun again, and the bytes are the same.
 */
import { fileURLToPath } from "node:url";
import { beforeAll, expect, onTestFinished, test, vi } from "vitest";
import type { JobParameters } from "../../shared/farm/parameters.js";
import { CLIP, type FileHashes, isMidDenoise, undisturbed } from "./farm-harness.js";
import { FaultFarm } from "./fault-farm.js";
import { TRIES_ALL } from "./selection.js";

const PARAMETERS: JobParameters = { ...CLIP, pair: "always" };
const HOUR_MS = 3_600_000;
const YEAR_MS = 365 * 24 * HOUR_MS;
const PRELOADED = fileURLToPath(new URL("jumping-clock.mjs", import.meta.url));

let expected: FileHashes;
beforeAll(async () => {
  expected = (await undisturbed(CLIP))[0]!;
}, 60_000);

const jumps = [
  ["an hour back", -HOUR_MS],
  ["an hour ahead", HOUR_MS],
  ["beyond 2038", 13 * YEAR_MS],
] as const;
const places = ["all", "coordinator", "node-1"] as const;
const cases = jumps.flatMap(([name, ms]) => places.map((place) => [name, place, ms] as const));

test.each(TRIES_ALL ? cases : cases.slice(0, 1))("%s, of %s", async (_name, place, ms) => {
  vi.stubEnv("NODE_OPTIONS", `--import=${PRELOADED}`);
  vi.stubEnv("RENDERFARM_TEST_JUMP_MS", String(ms));
  onTestFinished(() => void vi.unstubAllEnvs());
  const farm = await FaultFarm.start(2);
  farm.stopWithTest();
  const { jobId } = await farm.submit(PARAMETERS);
  const job = farm.follow(jobId);
  await job.until((state) => isMidDenoise(state) && state.clips[0]!.plan === "pair");
  const names = ["coordinator", "node-1", "node-2"].filter((n) => place === "all" || n === place);
  for (const name of names) {
    const { pid } = name === "coordinator" ? farm.coordinator! : farm.node(name).process;
    process.kill(pid!, "SIGUSR2");
  }
  const ended = await job.end();
  for (const name of names) {
    expect(farm.logOf(name)).toContainEqual({ msg: "the clock has jumped" });
  }
  expect(await farm.published(ended)).toEqual(expected);
  expect(ended.clips[0]!.plan).toBe("pair");
  for (const { attempts, stage } of ended.clips[0]!.stages) {
    expect(attempts, stage).toBe(stage === "decode" ? 2 : 1);
  }
  for (const nodeId of farm.nodes.keys()) {
    const cutOff = farm.logOf(nodeId).filter(({ msg }) => String(msg).startsWith("cut off"));
    expect(cutOff).toEqual([]);
  }
  expect(await farm.published(await farm.render(PARAMETERS))).toEqual(expected);
});
