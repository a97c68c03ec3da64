/** What a coordinator that stops, or leads no longer, tells those who watch: over real gRPC on loopback. */
import { once } from "node:events";
import { credentials, type ServiceError, status } from "@grpc/grpc-js";
import pino from "pino";
import { expect, test } from "vitest";
import { JobServiceClient } from "../../proto/gen/renderfarm/v1/job_service.js";
import { ManualClock } from "../../shared/adapters/clock/manual-clock.js";
import { fromServiceError } from "../../shared/adapters/grpc/status.js";
import { MemoryJournal } from "../../shared/adapters/memory/memory-journal.js";
import { JOB_OPTIONS_DEFAULT } from "../../shared/farm/job.js";
import { createMemoryBlobs } from "../../test/golden/memory-blobs.js";
import { jobParameters } from "../../test/plan/farm-world.js";
import { startCoordinator } from "../coordinator.js";
import { POLICY_DEFAULT } from "../shell/farm-loop.js";

const JOB = "0123456789abcdefghjkmnpqrs";
const image = { key: `v1/inputs/${JOB}`, sha256: "0".repeat(64), size: 1 };

test("a watcher is told at once to ask elsewhere; no stream is left to be cut after a bound", async () => {
  const clock = new ManualClock();
  const coordinator = await startCoordinator({
    ...{ listen: "127.0.0.1:0", journal: new MemoryJournal(), blobs: createMemoryBlobs() },
    ...{ clock, wallMs: () => 1_000, policy: POLICY_DEFAULT, log: pino({ enabled: false }) },
    onBroken: (error) => {
      throw error;
    },
  });
  const jobs = new JobServiceClient(coordinator.address, credentials.createInsecure());
  await coordinator.loop.dispatch({
    kind: "job-created",
    job: {
      ...{ ...JOB_OPTIONS_DEFAULT, jobId: JOB, parameters: jobParameters, images: [image] },
      ...{
        modelDigest: "d".repeat(64),
        modelName: "demo",
        requestId: "",
        requestDigest: "",
        stepsTotal: 4,
      },
      ...{ branchLatents: null, traceparent: null },
    },
  });
  const watching = jobs.watchJob({ jobId: JOB });
  await once(watching, "data");
  const ended = once(watching, "error") as Promise<[ServiceError]>;

  // The clock stands still, so that nothing is closed by force.
  await coordinator.stop();

  const [error] = await ended;
  expect(error.code).toBe(status.UNAVAILABLE);
  expect(fromServiceError(error)).toMatchObject({
    code: "unreachable",
    detail: "the coordinator stops",
  });
  jobs.close();
});
