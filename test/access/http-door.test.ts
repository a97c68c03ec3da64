/** The door as HTTP passes it: the same keys, scopes, owners and audit log as on gRPC, over TLS. */
import { readFileSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { request } from "node:https";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { PICTURE_HEAD } from "../plan/picture-head.js";
import { DoorWorld } from "./door-world.js";

let world: DoorWorld;
beforeEach(async () => {
  world = await DoorWorld.open();
});
afterEach(() => world.stop());

interface Asked {
  readonly token?: string;
  readonly method?: string;
  readonly body?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Opens one request as a client that trusts the farm's root. */
function open(path: string, { token, method = "GET", body, headers = {} }: Asked = {}) {
  return new Promise<IncomingMessage>((resolve, reject) => {
    const sent = request(`https://${world.coordinator.httpAddress}${path}`, {
      ...{ method, agent: false, ca: readFileSync(world.certs.caPath) },
      headers: { ...(token ? { authorization: `Bearer ${token}` } : {}), ...headers },
    });
    sent.on("response", resolve).on("error", reject);
    sent.end(body);
  });
}

async function ask(path: string, asked: Asked = {}) {
  const response = await open(path, asked);
  const pieces: Buffer[] = [];
  for await (const piece of response as AsyncIterable<Buffer>) pieces.push(piece);
  const json = JSON.parse(Buffer.concat(pieces).toString());
  return { status: response.statusCode, headers: response.headers, json };
}

const post = (path: string, token: string, body: object = {}) =>
  ask(path, {
    ...{ token, method: "POST", body: JSON.stringify(body) },
    headers: { "content-type": "application/json" },
  });

async function createJob(token: string): Promise<string> {
  const { json } = await ask("/v1/inputs", { token, method: "POST", body: PICTURE_HEAD });
  const made = await post("/v1/jobs", token, { images: [json.blob] });
  expect(made.status).toBe(200);
  return made.json.job.jobId;
}

describe("a key", () => {
  test("is asked for by everything of the API, and by nothing else", async () => {
    const bare = await ask("/v1/farm");
    expect(bare.status).toBe(401);
    expect(bare.json).toMatchObject({ code: 16, details: [{ reason: "UNAUTHENTICATED" }] });
    expect(bare.headers["www-authenticate"]).toBe("Bearer");
    expect((await ask("/v1/farm", { token: "rf_no_such" })).status).toBe(401);
    expect((await ask("/v1/farm", { token: world.key("ann", ["read"]) })).status).toBe(200);
    expect((await ask("/healthz")).status).toBe(200);
    expect((await ask("/readyz")).status).toBe(200);
  });

  test("does what its scopes allow", async () => {
    const reader = world.key("ann", ["read"]);
    const submitter = world.key("ann", ["read", "submit"]);
    const jobId = await createJob(submitter);
    expect((await ask("/v1/inputs", { token: reader, method: "POST", body: "x" })).status).toBe(
      403,
    );
    expect((await post(`/v1/jobs/${jobId}:cancel`, submitter)).status).toBe(403);
    expect((await post("/v1/nodes/node-a:drain", submitter)).status).toBe(403);
    const operator = world.key("op", ["read", "admin"]);
    expect((await post("/v1/nodes/node-a:drain", operator)).status).toBe(200);
  });

  test("that is revoked ends the streams of its holder", async () => {
    const token = world.key("ann", ["read"]);
    const stream = await open("/v1/events", { token });
    const ended = new Promise<void>((resolve) => {
      stream.on("close", () => resolve()).on("error", () => {});
    });
    stream.resume();
    world.revoke(token);
    world.look();
    await ended;
    expect((await ask("/v1/farm", { token })).status).toBe(401);
  });
});

test("jobs of others are not there: no job, no event, no picture, no name in the timeline", async () => {
  const ann = world.key("ann", ["read", "submit", "cancel"]);
  const bob = world.key("bob", ["read", "submit", "cancel"]);
  const jobId = await createJob(ann);
  for (const path of ["", "/events", "/inputs", "/inputs/0", "/clips/0/outputs"]) {
    expect([path, (await ask(`/v1/jobs/${jobId}${path}`, { token: bob })).status]).toEqual([
      path,
      404,
    ]);
  }
  expect((await ask("/v1/jobs", { token: bob })).json.jobs).toEqual([]);
  expect((await ask("/v1/timeline", { token: ann })).json.intervals).toMatchObject([{ jobId }]);
  expect((await ask("/v1/timeline", { token: bob })).json.intervals).toMatchObject([
    { jobId: "", taskId: "", nodeId: "node-a" },
  ]);

  const stream = await open("/v1/events", { token: bob });
  let said = "";
  stream.setEncoding("utf8").on("data", (text: string) => {
    said += text;
  });
  await post(`/v1/jobs/${jobId}:cancel`, ann);
  await ask(`/v1/jobs/${jobId}`, { token: ann, method: "DELETE" });
  const own = await createJob(bob);
  await expect
    .poll(() => {
      world.clock.advance(1_000);
      return said;
    })
    .toContain(own);
  expect(said).not.toContain(jobId);
  stream.destroy();
});

test("what changes something is in the audit log, with the id that the answer names", async () => {
  const token = world.key("ann", ["read", "submit"]);
  const headers = { "content-type": "application/json", "x-request-id": "ticket-7" };
  const body = JSON.stringify({ images: [] });
  const refused = await ask("/v1/jobs", { token, method: "POST", body, headers });
  expect(refused.headers["x-request-id"]).toBe("ticket-7");
  const lines = await world.audited();
  expect(Object.values(lines.at(-1) ?? {})).toEqual(
    expect.arrayContaining(["job.create", "INVALID_ARGUMENT", "ticket-7"]),
  );
});
