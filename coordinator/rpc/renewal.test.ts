/** A node renews its stream in the middle of a task, over real gRPC on loopback. */
import { once } from "node:events";
import { type ClientDuplexStream, credentials, type ServiceError } from "@grpc/grpc-js";
import pino from "pino";
import { afterEach, beforeEach, expect, test } from "vitest";
import { FarmClient } from "../../client/farm-client.js";
import {
  type ConnectRequest,
  type ConnectResponse,
  NodeServiceClient,
} from "../../proto/gen/renderfarm/v1/node_service.js";
import { ManualClock } from "../../shared/adapters/clock/manual-clock.js";
import {
  decodeNodeOrder,
  encodeNodeMessage,
  type NodeMessage,
} from "../../shared/adapters/grpc/node-codec.js";
import { MemoryJournal } from "../../shared/adapters/memory/memory-journal.js";
import { JOB_OPTIONS_DEFAULT } from "../../shared/farm/job.js";
import { createMemoryBlobs } from "../../test/golden/memory-blobs.js";
import { jobParameters, node } from "../../test/plan/farm-world.js";
import { PICTURE_HEAD } from "../../test/plan/picture-head.js";
import { type Coordinator, startCoordinator } from "../coordinator.js";
import { LEASE_MS } from "../plan/limits.js";
import { POLICY_DEFAULT } from "../shell/farm-loop.js";

const identity = node("node-a", {
  ...{ bootId: "b".repeat(26), planHash: "e".repeat(64), busAddress: "127.0.0.1:9" },
  model: { ...node("node-a").model, digest: "d".repeat(64) },
});

let clock: ManualClock;
let coordinator: Coordinator;
let client: FarmClient;
let nodes: NodeServiceClient;

beforeEach(async () => {
  clock = new ManualClock();
  coordinator = await startCoordinator({
    ...{ listen: "127.0.0.1:0", journal: new MemoryJournal(), blobs: createMemoryBlobs() },
    ...{ clock, wallMs: () => 1_000, policy: POLICY_DEFAULT, log: pino({ enabled: false }) },
    onBroken: (error) => {
      throw error;
    },
  });
  client = new FarmClient(coordinator.address);
  nodes = new NodeServiceClient(coordinator.address, credentials.createInsecure());
});

afterEach(async () => {
  client.close();
  nodes.close();
  const stopped = coordinator.stop();
  clock.advance(60_000);
  await stopped;
});

type NodeStream = ClientDuplexStream<ConnectRequest, ConnectResponse>;
const say = (stream: NodeStream, message: NodeMessage) => stream.write(encodeNodeMessage(message));
const nextOrder = async (stream: NodeStream) => {
  const [wire] = (await once(stream, "data")) as [ConnectResponse];
  return decodeNodeOrder(wire);
};

/** A stream that begins with this; its end is no error of the test. */
function streamOf(first: NodeMessage): NodeStream {
  const stream = nodes.connect().on("error", () => {});
  say(stream, first);
  return stream;
}

async function welcomed(first: NodeMessage): Promise<NodeStream> {
  const stream = streamOf(first);
  expect(await nextOrder(stream)).toMatchObject({ kind: "welcome", leaseMs: LEASE_MS });
  return stream;
}

async function expectAnswers(stream: NodeStream): Promise<void> {
  say(stream, { kind: "heartbeat" });
  expect(await nextOrder(stream)).toEqual({ kind: "heartbeat-ack" });
}

test("nothing that either side said is lost, or taken out of its order", async () => {
  const older = await welcomed({ kind: "hello", identity });
  const assigned = nextOrder(older);
  const { jobId } = await client.createJob({
    images: [await client.upload(Buffer.from(PICTURE_HEAD))],
    ...{ parameters: jobParameters, modelDigest: "", requestId: "" },
    options: { ...JOB_OPTIONS_DEFAULT, owner: "" },
  });
  const taskId = `${jobId}-0-condition`;
  expect(await assigned).toMatchObject({ kind: "assign", assignment: { taskId, epoch: 1 } });

  const { nodeId, bootId } = identity;
  const newer = await welcomed({ kind: "renewal", nodeId, bootId });
  const next = nextOrder(newer);
  const blob = { key: "v1/x/conditioning", sha256: "0".repeat(64), size: 3 };
  const result = { blob, outputs: [], seconds: 1, secondsPerStep: 0 };
  say(newer, { kind: "report", taskId, epoch: 1, report: { kind: "finished", result } });
  // The report waits for its turn: the older stream counts until the node has ended it.
  await expectAnswers(older);
  const ended = once(older.resume(), "end");
  older.end();
  await ended;
  expect(await next).toMatchObject({
    kind: "assign",
    assignment: { taskId: `${jobId}-0-denoise`, epoch: 1 },
  });
  await expectAnswers(newer);
  newer.cancel();
});

test.each([
  ["of another boot", { bootId: "z".repeat(26) }],
  ["that is not connected", { nodeId: "node-9" }],
])("a node %s has no stream to renew, and nobody else's is touched", async (_name, other) => {
  const older = await welcomed({ kind: "hello", identity });
  const { nodeId, bootId } = { ...identity, ...other };
  const newer = streamOf({ kind: "renewal", nodeId, bootId });
  const [error] = (await once(newer, "error")) as [ServiceError];
  expect(error.details).toMatch(/no stream to renew/);
  await expectAnswers(older);
  older.cancel();
});
