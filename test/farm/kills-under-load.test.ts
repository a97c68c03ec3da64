/**
 * @file kill -9 of a process, again and again, under load: what was accepted is done, once. A few
 * kills in `npm test`; `npm run soak -- --kills coordinator=100` for as many as you like. With a NATS server and two
 * coordinators: test/transport/nats-kills-under-load.test.ts.
 */
import { beforeAll, expect, test } from "vitest";
import type { JobParameters } from "../../shared/farm/parameters.js";
import { CLIP, type FileHashes, undisturbed } from "./farm-harness.js";
import { type FaultFarm, sharedFarm } from "./fault-farm.js";
import { insist } from "./insist.js";
import { allJobs, killUnderLoad, type LoadedFarm, type Victim } from "./kills-under-load.js";
import { killsOf } from "./selection.js";

/** Short: what is shown is that jobs are kept, not how they are made. */
const PARAMETERS: JobParameters = { ...CLIP, numInferenceSteps: 4, formats: ["safetensors"] };
/** Unless the command line says how many. */
const KILLS_DEFAULT = { coordinator: 2, node: 0 };
/** A kill, a restart and the jobs between two of them; many times what they take. */
const KILL_MS_MAX = 30_000;
/** Of one job under all that. */
const SILENCE_MS_MAX = 120_000;

const theFarm = sharedFarm(2);
let farm: FaultFarm;
let expected: FileHashes;
beforeAll(async () => {
  farm = theFarm();
  expected = (await undisturbed(PARAMETERS))[0]!;
}, 60_000);

const loaded: LoadedFarm = {
  submit: (requestId) => insist(() => farm.submit(PARAMETERS, { requestId })),
  end: (jobId) => insist(() => farm.follow(jobId, SILENCE_MS_MAX).end()),
  jobs: () => insist(() => allJobs(farm.client)),
  published: (job) => farm.published(job),
};

const victims: Record<keyof typeof KILLS_DEFAULT, Victim> = {
  coordinator: {
    kill: () => farm.killCoordinator(),
    restart: async () => void (await farm.startCoordinator()),
  },
  node: {
    kill: async () => {
      farm.node("node-1").process.kill();
      await farm.node("node-1").process.ended;
    },
    restart: async () => void (await farm.startNode("node-1")),
  },
};

for (const kind of ["coordinator", "node"] as const) {
  const count = killsOf(kind, KILLS_DEFAULT[kind]);
  test.runIf(count > 0)(
    `${count} kills of a ${kind}: no accepted job is lost or doubled`,
    async () => {
      const startMs = performance.now();
      const tally = await killUnderLoad(loaded, victims[kind], count, expected);
      expect(tally.kills).toBe(count + 1);
      const seconds = ((performance.now() - startMs) / 1_000).toFixed(0);
      console.log(`${tally.kills} kills of a ${kind}, ${tally.accepted} jobs, ${seconds} s`);
    },
    KILL_MS_MAX * (count + 3),
  );
}
