/** A stream that watches one job, over real gRPC on loopback, with time by hand. */
import { once } from "node:events";
import { credentials } from "@grpc/grpc-js";
import { expect, onTestFinished, test } from "vitest";
import {
  JobServiceClient,
  type WatchJobResponse,
} from "../../proto/gen/renderfarm/v1/job_service.js";
import { fromServiceError } from "../../shared/adapters/grpc/status.js";
import { startGateway } from "../../test/http/gateway.js";

async function watchedJob() {
  const gateway = await startGateway();
  const jobId = await gateway.createJob();
  const client = new JobServiceClient(gateway.coordinator.address, credentials.createInsecure());
  onTestFinished(() => client.close());
  const call = client.watchJob({ jobId }).on("error", () => {});
  onTestFinished(() => call.cancel());
  const next = async () => {
    const [{ job }] = (await once(call, "data")) as [WatchJobResponse];
    return job!;
  };
  /** A timer that the coordinator has set by now is there: its last message is written. */
  const quiet = () => expect.poll(() => gateway.clock.pendingCount).toBeGreaterThan(before);
  const before = gateway.clock.pendingCount;
  return { gateway, jobId, call, next, quiet };
}

test("a quiet one is told the state again, so that no proxy takes it for dead", async () => {
  const { gateway, jobId, next, quiet } = await watchedJob();
  const first = await next();
  expect(first.jobId).toBe(jobId);
  for (let i = 0; i < 3; i++) {
    await quiet();
    const again = next();
    gateway.clock.advance(30_000);
    expect((await again).state).toBe(first.state);
  }
});

test("one that was left sets no timer any more", async () => {
  const { gateway, call, next, quiet } = await watchedJob();
  await next();
  await quiet();
  const timers = gateway.clock.pendingCount;
  call.cancel();
  await expect.poll(() => gateway.clock.pendingCount).toBe(timers - 1);
});

test("of a job that there is not: refused, and nothing is left of it", async () => {
  const { gateway } = await watchedJob();
  const client = new JobServiceClient(gateway.coordinator.address, credentials.createInsecure());
  onTestFinished(() => client.close());
  const [error] = await once(client.watchJob({ jobId: "0".repeat(26) }), "error");
  expect(fromServiceError(error)).toMatchObject({ code: "not-found" });
});
