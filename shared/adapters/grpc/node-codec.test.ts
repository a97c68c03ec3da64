import { expect, test } from "vitest";
import { ConnectRequest, ConnectResponse } from "../../../proto/gen/renderfarm/v1/node_service.js";
import type { NodeMessage, NodeOrder } from "./node-codec.js";
import {
  decodeNodeMessage,
  decodeNodeOrder,
  encodeNodeMessage,
  encodeNodeOrder,
} from "./node-codec.js";

const JOB = "0123456789abcdefghjkmnpqrs";
const TASK = `${JOB}-0-denoise`;
const HASH = "ab".repeat(32);

const hello: NodeMessage = {
  kind: "hello",
  identity: {
    nodeId: "node-1",
    bootId: JOB,
    model: {
      digest: HASH,
      name: "demo",
      numFrames: 14,
      sampleSize: null,
      vaeScaleFactor: 8,
      latentChannels: 4,
      numTrainTimesteps: 1000,
      stepRule: "as-asked",
    },
    provider: "cpu",
    planHash: HASH,
    busAddress: "[::1]:4000",
    busToken: "secret",
    hasFfmpeg: true,
    memoryBytes: 16 * 2 ** 30,
    prefers: "decode",
  },
};
const report = (r: Extract<NodeMessage, { kind: "report" }>["report"]): NodeMessage => ({
  kind: "report",
  taskId: TASK,
  epoch: 3,
  report: r,
});
const checkpoint = {
  step: 4,
  blob: { key: "v1/a/0/step-4-1", sha256: "0".repeat(64), size: 9 },
};

const spent = {
  ...{ steps: 3, computeSeconds: 1.25, exchangeSeconds: 0.5 },
  ...{ combineSeconds: 0.125, saveSeconds: 0.25 },
};

const messages: [name: string, message: NodeMessage][] = [
  ["hello", hello],
  ["renewal", { kind: "renewal", nodeId: "node-1", bootId: JOB }],
  ["heartbeat", { kind: "heartbeat" }],
  ["progress", report({ kind: "progress", stepsDone: 4, secondsPerStep: 0.5 })],
  [
    "progress, and what the time went into",
    report({ kind: "progress", stepsDone: 4, secondsPerStep: 0.5, spent }),
  ],
  [
    "finished",
    report({
      kind: "finished",
      result: { blob: null, outputs: [], seconds: 2, secondsPerStep: 0.5 },
    }),
  ],
  ["failed", report({ kind: "failed", code: "numerical", detail: "NaN at step 3" })],
  [
    "failed for a blob",
    report({ kind: "failed", code: "blob-corrupt", detail: "x", blobKey: "v1/j/0/latents-1" }),
  ],
  ["pair-broken", report({ kind: "pair-broken", step: 7, reason: "socket closed" })],
  ["ending", report({ kind: "ending" })],
  ["checkpointed", report({ kind: "checkpointed", checkpoint })],
  ["yielded at a step", report({ kind: "yielded", checkpoint })],
  ["yielded before the first step", report({ kind: "yielded", checkpoint: null })],
  ["stopping", { kind: "stopping" }],
];

test.each(messages)("a node's message comes back from its bytes: %s", (_name, message) => {
  const bytes = ConnectRequest.encode(encodeNodeMessage(message)).finish();
  expect(decodeNodeMessage(ConnectRequest.decode(bytes))).toEqual(message);
});

const orders: [name: string, order: NodeOrder][] = [
  ["welcome", { kind: "welcome", leaseMs: 5000, heartbeatMs: 1000, takesEndings: true }],
  ["heartbeat-ack", { kind: "heartbeat-ack" }],
  ["cancel", { kind: "cancel", taskId: TASK, epoch: 3 }],
  ["yield", { kind: "yield", taskId: TASK, epoch: 3 }],
  ["continue-alone", { kind: "continue-alone", taskId: TASK, epoch: 3, newEpoch: 4 }],
];

test.each(orders)("an order comes back from its bytes: %s", (_name, order) => {
  const bytes = ConnectResponse.encode(encodeNodeOrder(order)).finish();
  expect(decodeNodeOrder(ConnectResponse.decode(bytes))).toEqual(order);
});

test("a message or order of a kind that this version does not know is refused", () => {
  expect(() => decodeNodeMessage({ report: undefined })).toThrow(/report: is missing/);
  expect(() => decodeNodeOrder({ order: undefined })).toThrow(/order: is missing/);
});

test("a failure with a code of another version stays a failure", () => {
  const wire = encodeNodeMessage(report({ kind: "failed", code: "numerical", detail: "why" }));
  if (wire.report?.$case === "failed") wire.report.value.code = "melted";
  expect(decodeNodeMessage(wire)).toEqual(
    report({ kind: "failed", code: "runtime-failed", detail: "melted: why" }),
  );
});

test("a detail is cut to what a control message holds", () => {
  const detail = "x".repeat(100_000);
  const wire = encodeNodeMessage(report({ kind: "failed", code: "numerical", detail }));
  expect(ConnectRequest.encode(wire).finish().length).toBeLessThan(3_000);
});

const badOrders: [name: string, order: NodeOrder, field: RegExp][] = [
  [
    "a lease of one heartbeat",
    { kind: "welcome", leaseMs: 1000, heartbeatMs: 1000, takesEndings: true },
    /lease_ms/,
  ],
  [
    "no heartbeat",
    { kind: "welcome", leaseMs: 1000, heartbeatMs: 0, takesEndings: true },
    /heartbeat_ms/,
  ],
  ["an odd task", { kind: "cancel", taskId: "../x", epoch: 3 }, /cancel\.task_id/],
  ["epoch 0", { kind: "cancel", taskId: TASK, epoch: 0 }, /cancel\.epoch/],
  [
    "an epoch that does not grow",
    { kind: "continue-alone", taskId: TASK, epoch: 3, newEpoch: 3 },
    /new_epoch/,
  ],
];

test.each(badOrders)("an order with %s is refused", (_name, order, field) => {
  expect(() => decodeNodeOrder(encodeNodeOrder(order))).toThrow(field);
});

test("a hello with an odd id, hash or seconds is refused by name", () => {
  const wire = encodeNodeMessage(hello);
  if (wire.report?.$case === "hello") wire.report.value.planHash = "xyz";
  expect(() => decodeNodeMessage(wire)).toThrow(/hello\.plan_hash/);
  const slow = report({ kind: "progress", stepsDone: 1, secondsPerStep: Number.NaN });
  expect(() => decodeNodeMessage(encodeNodeMessage(slow))).toThrow(/progress\.seconds_per_step/);
});

test.each([
  ["computeSeconds", "compute_seconds"],
  ["exchangeSeconds", "exchange_seconds"],
  ["combineSeconds", "combine_seconds"],
  ["saveSeconds", "save_seconds"],
])("time of a denoising that was never spent is refused by name: %s", (key, field) => {
  const odd = { ...spent, [key]: -1 };
  const message = report({ kind: "progress", stepsDone: 1, secondsPerStep: 1, spent: odd });
  const wire = encodeNodeMessage(message);
  expect(() => decodeNodeMessage(wire)).toThrow(`progress.spent.${field}`);
});
