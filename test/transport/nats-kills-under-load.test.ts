/**
 * @file kill -9 of the NATS server, and of the coordinator that leads while another stands by, again and
 * again, under load: what was accepted is done, once. Blobs lie in a real S3. A few kills in `npm test`;
 * `npm run soak -- --kills nats=100` or `leader=100` for as many as you like.
 */
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { JobParameters } from "../../shared/farm/parameters.js";
import { CLIP, type FileHashes, undisturbed } from "../farm/farm-harness.js";
import { allJobs, killUnderLoad, type LoadedFarm, type Victim } from "../farm/kills-under-load.js";
import { type LookedInto, publishedOnce } from "../farm/published.js";
import { killsOf } from "../farm/selection.js";
import { natsServerPath } from "../servers/nats-server.js";
import { TestS3Server } from "../servers/s3-server.js";
import { NatsFarm } from "./nats-farm.js";
import { lookInto, S3_ROLES, serversAtHand } from "./s3-stores.js";

/** Short: what is shown is that jobs are kept, not how they are made. */
const PARAMETERS: JobParameters = { ...CLIP, numInferenceSteps: 4, formats: ["safetensors"] };
/** Unless the command line says how many. */
const KILLS_DEFAULT = { nats: 3, leader: 1 };
/** A kill, a restart, a takeover at the end of a lease, and the jobs between two of them. */
const KILL_MS_MAX = 60_000;

const [storeKind] = await serversAtHand();

describe.runIf(natsServerPath && storeKind)("a farm on NATS under load", () => {
  let farm: NatsFarm;
  let store: TestS3Server;
  let look: LookedInto & { readonly close: () => void };
  let expected: FileHashes;
  beforeAll(async () => {
    expected = (await undisturbed(PARAMETERS))[0]!;
  }, 60_000);
  beforeEach(async () => {
    store = await TestS3Server.start(storeKind!, { identities: S3_ROLES });
    look = await lookInto(store);
    farm = await NatsFarm.start(2, { store });
    await farm.startCoordinator(0);
    await farm.startCoordinator(1);
    await Promise.all(["node-1", "node-2"].map((nodeId) => farm.startNode(nodeId)));
    await farm.nodesJoined(2, farm.coordinators[0]!);
  }, 120_000);
  afterEach(async () => {
    await farm.stop();
    look.close();
    await store.stop();
  });

  const loaded: LoadedFarm = {
    submit: (requestId) => farm.submit(PARAMETERS, requestId),
    end: (jobId) => farm.ended(jobId),
    jobs: () => farm.insist(allJobs),
    published: (job) => publishedOnce(look, job),
  };

  /** Index of the coordinator that led when it was killed. */
  let killed = 0;
  const victims: Record<keyof typeof KILLS_DEFAULT, Victim> = {
    nats: { kill: () => farm.server.kill(), restart: () => farm.server.run() },
    leader: {
      kill: async () => {
        killed = await farm.leader();
        const { process } = farm.coordinators[killed]!;
        process.kill();
        await process.ended;
      },
      restart: async () => void (await farm.startCoordinator(killed)),
    },
  };

  for (const kind of ["nats", "leader"] as const) {
    const count = killsOf(kind, KILLS_DEFAULT[kind]);
    test.runIf(count > 0)(
      `${count} kills of ${kind}: no accepted job is lost or doubled`,
      async () => {
        farm.explainFailure();
        const startMs = performance.now();
        const tally = await killUnderLoad(loaded, victims[kind], count, expected);
        expect(tally.kills).toBe(count + 1);
        const seconds = ((performance.now() - startMs) / 1_000).toFixed(0);
        console.log(`${tally.kills} kills of ${kind}, ${tally.accepted} jobs, ${seconds} s`);
      },
      KILL_MS_MAX * (count + 3),
    );
  }
});
