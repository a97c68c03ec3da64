/** What happens at the door over time: keys that stop being good, quotas, failures, the audit log. */
import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { type MethodDefinition, status } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { QuotaFailure, RetryInfo } from "../../proto/gen/google/rpc/error_details.js";
import { Status } from "../../proto/gen/google/rpc/status.js";
import {
  CreateJobRequest,
  type CreateJobResponse,
  type GetJobResponse,
  JobServiceService,
  type UploadInputResponse,
} from "../../proto/gen/renderfarm/v1/job_service.js";
import { NodeServiceService } from "../../proto/gen/renderfarm/v1/node_service.js";
import { QUOTA_DEFAULT } from "../../shared/access/quota.js";
import { encodeNodeMessage } from "../../shared/adapters/grpc/node-codec.js";
import { node } from "../plan/farm-world.js";
import { PICTURE_HEAD } from "../plan/picture-head.js";
import { type Answer, DoorWorld } from "./door-world.js";

type Method = MethodDefinition<unknown, unknown>;
const { createJob, getFarm, getJob, uploadInput, watchJob, cancelJob, drainNode } =
  JobServiceService as unknown as Record<string, Method>;
const connect = NodeServiceService.connect as unknown as Method;

let world: DoorWorld;
beforeAll(async () => {
  world = await DoorWorld.open();
});
afterAll(() => world?.stop());

async function upload(token: string, bytes = PICTURE_HEAD.length): Promise<Answer> {
  return world.call(uploadInput!, { piece: Buffer.alloc(bytes, PICTURE_HEAD) }, { token });
}

async function submit(token: string, validateOnly = false): Promise<Answer> {
  const { messages } = await upload(token);
  const { blob } = messages[0] as UploadInputResponse;
  const request = CreateJobRequest.fromPartial({ images: [blob!], validateOnly });
  return world.call(createJob!, request, { token });
}

async function created(token: string): Promise<string> {
  const { messages } = await submit(token);
  return (messages[0] as CreateJobResponse).job!.jobId;
}

/** What a bound that was reached says. */
function boundOf({ metadata }: Answer) {
  const bytes = metadata.get("grpc-status-details-bin")[0] as Buffer;
  const details = Status.decode(bytes).details;
  const of = (name: string) => details.find(({ typeUrl }) => typeUrl.endsWith(name))!.value;
  const { seconds, nanos } = RetryInfo.decode(of("RetryInfo")).retryDelay!;
  const { subject } = QuotaFailure.decode(of("QuotaFailure")).violations[0]!;
  return { subject, retrySeconds: Number(seconds) + nanos / 1e9 };
}

describe("a stream", () => {
  test("is cut when its key is revoked", async () => {
    const token = world.key("alice", ["submit", "read"]);
    const watching = world.open(watchJob!, { jobId: await created(token) }, { token });
    await watching.first;
    world.revoke(token);
    world.look();
    const { code, details } = await watching.ended;
    expect([status[code], details]).toEqual([
      "UNAUTHENTICATED",
      expect.stringMatching(/^the key \w{12} is no longer good$/),
    ]);
    expect((await world.call(getFarm!, {}, { token })).code).toBe(status.UNAUTHENTICATED);
  });

  test("is cut when its key expires", async () => {
    const token = world.key("alice", ["submit", "read"], { expiresAtMs: world.wallMs() + 60_000 });
    const watching = world.open(watchJob!, { jobId: await created(token) }, { token });
    await watching.first;
    world.clock.advance(60_000);
    expect((await watching.ended).code).toBe(status.UNAUTHENTICATED);
  });

  test("of a node is cut when its certificate ends, and its work is another's", async () => {
    const lifeMs = 600_000;
    const certificate = await world.issue("node", "node-b", lifeMs);
    const hello = helloOf("node-b");
    const connected = world.open(connect, hello, { certificate });
    await connected.first;
    expect(world.coordinator.loop.farm.nodes.has("node-b")).toBe(true);
    // A silent node is dropped, too: this one speaks until its certificate ends.
    const { endsAtMs } = certificate;
    while (world.wallMs() + 3_000 < endsAtMs) {
      const answered = connected.next();
      connected.send(encodeNodeMessage({ kind: "heartbeat" }));
      await answered;
      world.clock.advance(2_000);
    }
    world.clock.advance(endsAtMs - world.wallMs() + 1_000);
    const { code, details } = await connected.ended;
    expect([status[code], details]).toEqual([
      "UNAUTHENTICATED",
      "the certificate of node node-b has ended",
    ]);
    expect(world.coordinator.loop.farm.nodes.has("node-b")).toBe(false);
    const again = await world.call(connect, hello, { certificate });
    expect(again.code).toBe(status.UNAUTHENTICATED);
  });
});

/** What a node says first. */
function helloOf(nodeId: string) {
  const wireable = {
    ...{ bootId: "b".repeat(26), planHash: "e".repeat(64), busAddress: "127.0.0.1:9" },
  };
  return encodeNodeMessage({ kind: "hello", identity: node(nodeId, wireable) });
}

test("a node that says it is another one is refused", async () => {
  const certificate = await world.issue("node", "node-c");
  const { code, details } = await world.call(connect, helloOf("node-a"), { certificate });
  expect([status[code], details]).toEqual([
    "PERMISSION_DENIED",
    "the certificate is not that of node 'node-a'",
  ]);
});

describe("a quota", () => {
  test("of submits: so many at once, then so many a second", async () => {
    const token = world.key("fast", ["submit", "read"]);
    world.setQuota("fast", { ...QUOTA_DEFAULT, submitBurst: 2, submitsPerSecond: 0.25 });
    const codes = [await submit(token), await submit(token), await submit(token)];
    expect(codes.map(({ code }) => status[code])).toEqual(["OK", "OK", "RESOURCE_EXHAUSTED"]);
    const { subject, retrySeconds } = boundOf(codes[2]!);
    expect({ subject, retrySeconds }).toEqual({ subject: "owner:fast", retrySeconds: 4 });
    world.clock.advance(retrySeconds * 1_000);
    expect((await submit(token)).code).toBe(status.OK);
  });

  test("of jobs that wait; another owner is not held back", async () => {
    const many = world.key("many", ["submit", "read", "cancel"]);
    const other = world.key("other", ["submit", "read"]);
    world.setQuota("many", { ...QUOTA_DEFAULT, queuedJobs: 2 });
    await submit(many);
    const jobId = await created(many);
    const refused = await submit(many);
    expect(status[refused.code]).toBe("RESOURCE_EXHAUSTED");
    expect(refused.details).toContain("quota of many: 2 jobs wait");
    expect(boundOf(refused).subject).toBe("owner:many");
    expect((await submit(other)).code).toBe(status.OK);
    await world.call(cancelJob!, { jobId }, { token: many });
    expect((await submit(many)).code).toBe(status.OK);
  });

  test("of jobs that are worked on: one more is taken and waits, and says so; a dry run, too", async () => {
    const token = world.key("busy", ["submit", "read", "cancel"]);
    world.setQuota("busy", { ...QUOTA_DEFAULT, runningJobs: 1 });
    const first = await created(token);
    const second = await created(token);
    const reason = "its owner has 1 jobs worked on, and may have no more at a time";
    const whyNotNow = async () => {
      const { messages } = await world.call(getJob!, { jobId: second }, { token });
      return (messages[0] as GetJobResponse).job!.whyNotNow;
    };
    expect(await whyNotNow()).toEqual([reason]);
    const tried = await submit(token, true);
    expect((tried.messages[0] as CreateJobResponse).dryRun?.whyNotNow).toContain(reason);
    await world.call(cancelJob!, { jobId: first }, { token });
    expect(await whyNotNow()).not.toContain(reason);
  });

  test("of bytes of inputs", async () => {
    const token = world.key("large", ["submit"]);
    world.setQuota("large", { ...QUOTA_DEFAULT, inputBytesPerHour: 3_600 });
    expect((await upload(token, 3_000)).code).toBe(status.OK);
    const refused = await upload(token, 1_000);
    expect(status[refused.code]).toBe("RESOURCE_EXHAUSTED");
    expect(boundOf(refused)).toEqual({ subject: "owner:large", retrySeconds: 400 });
  });
});

test("calls without a good key: so many are answered, the rest is told to wait; a good key is not", async () => {
  world.look();
  const token = world.key("alice", ["read"]);
  const codes: string[] = [];
  for (let i = 0; i < 30; i++) codes.push(status[(await world.call(getFarm!, {})).code]);
  expect(codes.slice(0, 10)).toEqual(Array(10).fill("UNAUTHENTICATED"));
  expect(codes.at(-1)).toBe("RESOURCE_EXHAUSTED");
  expect(boundOf(await world.call(getFarm!, {})).subject).toBe("source:127.0.0.1");
  expect((await world.call(getFarm!, {}, { token })).code).toBe(status.OK);
  world.clock.advance(60_000);
  expect((await world.call(getFarm!, {})).code).toBe(status.UNAUTHENTICATED);
});

describe("the audit log", () => {
  test("has who did what to what, and when; reads are not in it", async () => {
    const token = world.key("auditee", ["submit", "read", "cancel"]);
    const before = (await world.audited()).length;
    const jobId = await created(token);
    await world.call(getJob!, { jobId }, { token });
    await world.call(cancelJob!, { jobId }, { token });
    await world.call(drainNode!, { nodeId: "node-a" }, { token });
    const entries = (await world.audited()).slice(before);
    const who = `key:${token.split("_")[1]}`;
    const common = { who, tenant: "auditee", source: "127.0.0.1", request_id: expect.any(String) };
    const time = new Date(world.wallMs()).toISOString();
    expect(entries).toEqual([
      {
        time,
        ...common,
        action: "input.upload",
        object: expect.stringMatching(/^v1\/inputs\/auditee\//),
        result: "OK",
      },
      { time, ...common, action: "job.create", object: jobId, result: "OK" },
      { time, ...common, action: "job.cancel", object: jobId, result: "OK" },
      {
        time,
        who: "unknown",
        tenant: "",
        source: "127.0.0.1",
        request_id: expect.any(String),
        action: "node.drain",
        object: "",
        result: "PERMISSION_DENIED",
      },
    ]);
  });

  test("names the call as the answer does", async () => {
    const token = world.key("auditee", ["cancel"]);
    const { metadata } = await world.call(cancelJob!, { jobId: "x" }, { token });
    const entry = (await world.audited()).at(-1);
    expect(metadata.get("x-request-id")).toEqual([entry?.["request_id"]]);
    expect(entry).toMatchObject({ action: "job.cancel", object: "x", result: "NOT_FOUND" });
  });

  test("holds no secret, and nobody else may read it", async () => {
    const token = world.key("auditee", ["submit"]);
    await submit(token);
    await world.audited();
    expect(readFileSync(world.auditPath, "utf8")).not.toContain(
      token.split("_").slice(2).join("_"),
    );
    expect(statSync(world.auditPath).mode & 0o077).toBe(0);
  });

  test("cannot be written: nothing may be changed, until it can be again", async () => {
    const token = world.key("auditee", ["submit", "read", "cancel"]);
    const jobId = await created(token);
    const text = readFileSync(world.auditPath);
    rmSync(world.auditPath);
    mkdirSync(world.auditPath);
    // This one is done, and its line is the one that fails.
    await world.call(cancelJob!, { jobId }, { token });
    await world.access.audit.flush();
    const refused = await world.call(cancelJob!, { jobId }, { token });
    expect([status[refused.code], refused.details]).toEqual([
      "UNAVAILABLE",
      "the audit log cannot be written, so nothing may be changed; try again later",
    ]);
    expect((await world.call(getJob!, { jobId }, { token })).code).toBe(status.OK);
    rmSync(world.auditPath, { recursive: true });
    writeFileSync(world.auditPath, text);
    await world.call(cancelJob!, { jobId }, { token });
    await world.access.audit.flush();
    expect((await world.call(cancelJob!, { jobId }, { token })).code).toBe(status.OK);
  });
});
