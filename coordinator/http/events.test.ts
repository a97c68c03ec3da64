/** Server-sent events: what is told, from where a reader goes on, and what becomes of a slow one. */
import { EventEmitter } from "node:events";
import type { ServerResponse } from "node:http";
import { expect, test } from "vitest";
import { ManualClock } from "../../shared/adapters/clock/manual-clock.js";
import { readEvents } from "../../test/http/event-reader.js";
import { type Gateway, startGateway } from "../../test/http/gateway.js";
import { serveEvents } from "./event-stream.js";

const FLUSH_MS = 1_000;

/** Reports a step of the only task of a job that runs. */
async function denoise(gateway: Gateway, jobId: string): Promise<(step: number) => void> {
  const { loop } = gateway;
  const blob = { key: "v1/x/conditioning", sha256: "0".repeat(64), size: 3 };
  const result = { blob, outputs: [], seconds: 1, secondsPerStep: 0 };
  const taskId = `${jobId}-0-condition`;
  await loop.dispatch({ kind: "task-finished", taskId, nodeId: "node-a", epoch: 1, result });
  return (stepsDone) => {
    loop.reportProgress(`${jobId}-0-denoise`, { epoch: 1, stepsDone, secondsPerStep: 0.5 });
    gateway.clock.advance(FLUSH_MS);
  };
}

test("a job is told now, after every step, and once more when it has ended; then the stream ends", async () => {
  const gateway = await startGateway();
  const jobId = await gateway.createJob();
  const reader = await readEvents(`${gateway.url}/v1/jobs/${jobId}/events`);
  expect(await reader.next()).toMatchObject({ event: "job", data: { jobId } });
  const step = await denoise(gateway, jobId);
  gateway.clock.advance(FLUSH_MS);
  await reader.next();
  step(1);
  expect((await reader.next())?.data.clips[0]).toMatchObject({ stepsDone: 1, stepsTotal: 25 });
  await gateway.post(`/v1/jobs/${jobId}:cancel`);
  gateway.clock.advance(FLUSH_MS);
  expect((await reader.next())?.data.state).toBe("JOB_STATE_CANCELLED");
  expect(await reader.next()).toBeNull();
});

test("a reader that comes back is told only what it has missed", async () => {
  const gateway = await startGateway();
  const jobId = await gateway.createJob();
  const url = `${gateway.url}/v1/jobs/${jobId}/events`;
  const first = await (await readEvents(url)).next();
  const step = await denoise(gateway, jobId);
  step(3);
  const second = await (await readEvents(url, first?.id)).next();
  expect(second?.data.clips[0].stepsDone).toBe(3);
  const reader = await readEvents(url, second?.id);
  step(4);
  expect((await reader.next())?.data.clips[0].stepsDone).toBe(4);
  // An id of another run of the coordinator says nothing.
  const other = await readEvents(url, `${"z".repeat(26)}-${second?.id.split("-")[1]}`);
  expect((await other.next())?.data.clips[0].stepsDone).toBe(4);
});

test("the stream of a job that has ended ends at once, also for one that comes back", async () => {
  const gateway = await startGateway();
  const jobId = await gateway.createJob();
  await gateway.post(`/v1/jobs/${jobId}:cancel`);
  const url = `${gateway.url}/v1/jobs/${jobId}/events`;
  const reader = await readEvents(url);
  const last = await reader.next();
  expect(last?.data.state).toBe("JOB_STATE_CANCELLED");
  expect(await reader.next()).toBeNull();
  expect(await (await readEvents(url, last?.id)).next()).toBeNull();
  expect((await readEvents(`${gateway.url}/v1/jobs/nobody/events`)).status).toBe(404);
});

test("the whole farm: reset, nodes, then changes; the latest of each job is enough", async () => {
  const gateway = await startGateway();
  const reader = await readEvents(`${gateway.url}/v1/events`);
  expect(await reader.next()).toMatchObject({ event: "reset" });
  expect(await reader.next()).toMatchObject({ event: "farm", data: { nodes: [{}] } });
  const jobId = await gateway.createJob();
  const step = await denoise(gateway, jobId);
  gateway.loop.reportProgress(`${jobId}-0-denoise`, { epoch: 1, stepsDone: 1, secondsPerStep: 1 });
  step(2);
  const event = await reader.next();
  expect([event?.event, event?.data.clips[0].stepsDone]).toEqual(["job", 2]);
  expect(await reader.next()).toMatchObject({ event: "farm", data: { nodes: [{ taskCount: 1 }] } });
  await gateway.post(`/v1/jobs/${jobId}:cancel`);
  await gateway.ask(`/v1/jobs/${jobId}`, { method: "DELETE" });
  gateway.clock.advance(FLUSH_MS);
  expect(await reader.next()).toMatchObject({ event: "job-deleted", data: { jobId } });
});

test("what a clip looks like follows its job: each step once, and the latest to who comes later", async () => {
  const gateway = await startGateway();
  const jobId = await gateway.createJob();
  const step = await denoise(gateway, jobId);
  const show = (done: number) => {
    const image = Buffer.from(`step ${done}`);
    gateway.loop.reportPreview(`${jobId}-0-denoise`, 1, done, image);
    step(done);
  };
  show(2);
  const reader = await readEvents(`${gateway.url}/v1/jobs/${jobId}/events`);
  expect((await reader.next())?.event).toBe("job");
  const image = Buffer.from("step 2").toString("base64");
  expect(await reader.next()).toMatchObject({
    event: "preview",
    data: { jobId, clipIndex: 0, step: 2, image },
  });
  step(3);
  expect((await reader.next())?.data.clips[0].stepsDone).toBe(3);
  show(4);
  expect((await reader.next())?.data.clips[0].stepsDone).toBe(4);
  expect(await reader.next()).toMatchObject({ event: "preview", data: { step: 4 } });
});

test("a reader of the whole farm goes on where it was, or is told to list anew", async () => {
  const gateway = await startGateway();
  const url = `${gateway.url}/v1/events`;
  const start = await (await readEvents(url)).next();
  const jobId = await gateway.createJob();
  const again = await readEvents(url, start?.id);
  const missed = await again.next();
  expect(missed).toMatchObject({ event: "job", data: { jobId } });
  const none = await readEvents(url, missed?.id);
  expect((await none.next())?.event).toBe("farm");
  const future = missed?.id.replace(/\d+$/, "999");
  expect((await (await readEvents(url, future)).next())?.event).toBe("reset");
});

/** A response whose reader takes nothing until `drain`. */
class HeldResponse extends EventEmitter {
  readonly written: string[] = [];
  isFull = false;
  destroyed = false;
  writableEnded = false;
  writeHead(): void {}
  write(text: string): boolean {
    this.written.push(text);
    return !this.isFull;
  }
  end(): void {
    this.writableEnded = true;
  }
  destroy(): void {
    this.destroyed = true;
    this.emit("close");
  }
}

function heldStream() {
  const response = new HeldResponse();
  const clock = new ManualClock();
  let wake = () => {};
  let made = 0;
  const source = {
    latest: 0,
    next() {
      if (made === this.latest) return null;
      made = this.latest;
      return { event: "e", id: String(made), data: made };
    },
    settled: async () => {},
    listen(listener: () => void) {
      wake = listener;
      return () => {
        wake = () => {};
      };
    },
  };
  serveEvents(response as unknown as ServerResponse, source, clock);
  return { response, clock, source, wake: () => wake() };
}

/** What is under way has happened: nothing of it waits for anything but promises. */
const turn = () => new Promise((resolve) => setImmediate(resolve));

test("a slow reader is sent nothing more until it has taken what there is, then the newest", async () => {
  const { response, clock, source, wake } = heldStream();
  response.isFull = true;
  for (let i = 1; i <= 100; i++) {
    source.latest = i;
    wake();
    clock.advance(200);
    await turn();
  }
  const sent = () => response.written.filter((text) => text.startsWith("event"));
  expect(sent()).toEqual(["event: e\nid: 1\ndata: 1\n\n"]);
  response.isFull = false;
  response.emit("drain");
  await turn();
  expect(sent().at(-1)).toBe("event: e\nid: 100\ndata: 100\n\n");
  expect(response.destroyed).toBe(false);
});

test("one that takes nothing for half a minute is cut, and leaves no timer", async () => {
  const { response, clock, source, wake } = heldStream();
  response.isFull = true;
  source.latest = 1;
  wake();
  clock.advance(200);
  await turn();
  clock.advance(29_000);
  expect(response.destroyed).toBe(false);
  clock.advance(2_000);
  expect(response.destroyed).toBe(true);
  expect(clock.pendingCount).toBe(0);
});

test("a quiet stream is kept open by comments", () => {
  const { response, clock } = heldStream();
  clock.advance(45_000);
  expect(response.written.filter((text) => text.startsWith(":"))).toHaveLength(3);
});
