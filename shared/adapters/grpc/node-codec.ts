/** @file What a node and its coordinator tell each other; the messages are those of node_service.proto. */
import {
  type ConnectRequest,
  type ConnectResponse,
  type NodeHello,
  NodePreference as WirePreference,
} from "../../../proto/gen/renderfarm/v1/node_service.js";
import { isFarmErrorCode } from "../../core/errors.js";
import { PREVIEW_BYTES_MAX } from "../../farm/limits.js";
import type { ModelInfo, NodePreference, TaskAssignment, TaskReport } from "../../farm/work.js";
import { isBlobKey } from "../../ports/blob-key.js";
import { decodeModelInfo, encodeModelInfo } from "./model-codec.js";
import * as check from "./wire-checks.js";
import {
  decodeAssignment,
  decodeCheckpoint,
  decodeDenoiseTime,
  decodeResult,
  encodeAssignment,
  encodeCheckpoint,
  encodeResult,
} from "./work-codec.js";

/** What a node says of itself when it dials. */
export interface NodeIdentity {
  /** A DNS label, stable over restarts. */
  readonly nodeId: string;
  /** 26 characters of [a-z0-9], new at each start of the agent. */
  readonly bootId: string;
  readonly model: ModelInfo;
  /** Execution provider, e.g. "cpu". */
  readonly provider: string;
  /** Equal in two nodes whose runs of one graph give equal bytes. */
  readonly planHash: string;
  /** host:port of the tensor bus. */
  readonly busAddress: string;
  readonly busToken: string;
  readonly hasFfmpeg: boolean;
  /** Bytes that its runtime may use; 0: not known. */
  readonly memoryBytes: number;
  readonly prefers: NodePreference;
}

/** Node -> coordinator. The first message of a stream is "hello" or "renewal". */
export type NodeMessage =
  | { readonly kind: "hello"; readonly identity: NodeIdentity }
  /** This stream is to take the place of the one that this boot has. */
  | { readonly kind: "renewal"; readonly nodeId: string; readonly bootId: string }
  | { readonly kind: "heartbeat" }
  /** It will stop: no new work, please. */
  | { readonly kind: "stopping" }
  | {
      readonly kind: "report";
      readonly taskId: string;
      readonly epoch: number;
      readonly report: TaskReport;
    }
  /** What a clip looks like after `step` steps: a webp. */
  | {
      readonly kind: "preview";
      readonly taskId: string;
      readonly epoch: number;
      readonly step: number;
      readonly image: Uint8Array;
    };

/** Coordinator -> node. The first message of a stream is "welcome". */
export type NodeOrder =
  | {
      readonly kind: "welcome";
      readonly leaseMs: number;
      readonly heartbeatMs: number;
      /** Whether this coordinator may be sent an "ending" report. */
      readonly takesEndings: boolean;
    }
  | { readonly kind: "heartbeat-ack" }
  | { readonly kind: "assign"; readonly assignment: TaskAssignment }
  | { readonly kind: "cancel"; readonly taskId: string; readonly epoch: number }
  | { readonly kind: "yield"; readonly taskId: string; readonly epoch: number }
  | {
      readonly kind: "continue-alone";
      readonly taskId: string;
      readonly epoch: number;
      readonly newEpoch: number;
    };

const PREFERENCE_ON_WIRE = {
  any: WirePreference.ANY,
  denoise: WirePreference.DENOISE,
  decode: WirePreference.DECODE,
} as const satisfies Record<NodePreference, WirePreference>;

/** Characters of a reason or detail; it is for people, and a message has 64 KiB. */
const DETAIL_LENGTH_MAX = 2_000;

export function encodeNodeMessage(message: NodeMessage): ConnectRequest {
  switch (message.kind) {
    case "hello":
      return { report: { $case: "hello", value: encodeIdentity(message.identity) } };
    case "renewal": {
      const { nodeId, bootId } = message;
      return { report: { $case: "renewal", value: { nodeId, bootId } } };
    }
    case "heartbeat":
      return { report: { $case: "heartbeat", value: {} } };
    case "stopping":
      return { report: { $case: "stopping", value: {} } };
    case "preview": {
      const { taskId, epoch, step, image } = message;
      const { buffer, byteOffset, byteLength } = image;
      const bytes = Buffer.from(buffer, byteOffset, byteLength);
      return { report: { $case: "preview", value: { taskId, epoch, step, image: bytes } } };
    }
    case "report":
      return { report: encodeReport(message.taskId, message.epoch, message.report) };
  }
}

/** @throws FarmError "invalid-argument" naming the field */
export function decodeNodeMessage(wire: ConnectRequest): NodeMessage {
  const { $case: kind, value } = check.present(wire.report, "report");
  switch (kind) {
    case "hello":
      return { kind, identity: decodeIdentity(value) };
    case "renewal":
      return {
        kind,
        nodeId: check.nodeId(value.nodeId, "renewal.node_id"),
        bootId: check.bootId(value.bootId, "renewal.boot_id"),
      };
    case "heartbeat":
    case "stopping":
      return { kind };
    case "preview":
      return { kind, ...decodeTarget(value, kind), ...decodePreview(value) };
    default:
      return {
        kind: "report",
        taskId: check.taskId(value.taskId, `${kind}.task_id`),
        epoch: check.atLeast(value.epoch, 1, `${kind}.epoch`),
        report: decodeReport(wire.report!),
      };
  }
}

/** @throws FarmError "invalid-argument" for a picture that no node makes */
function decodePreview({ step, image }: { step: number; image: Uint8Array }) {
  const isWebp = Buffer.from(image.subarray(8, 12)).toString("latin1") === "WEBP";
  if (!isWebp || image.length > PREVIEW_BYTES_MAX) {
    const legal = `no webp of at most ${PREVIEW_BYTES_MAX}`;
    check.refuseField("preview.image", `${image.length} bytes are ${legal}`);
  }
  return { step, image: Uint8Array.from(image) };
}

export function encodeNodeOrder(order: NodeOrder): ConnectResponse {
  switch (order.kind) {
    case "welcome": {
      const { leaseMs, heartbeatMs, takesEndings } = order;
      return { order: { $case: "welcome", value: { leaseMs, heartbeatMs, takesEndings } } };
    }
    case "heartbeat-ack":
      return { order: { $case: "heartbeatAck", value: {} } };
    case "assign":
      return { order: { $case: "assign", value: encodeAssignment(order.assignment) } };
    case "cancel": {
      const { taskId, epoch } = order;
      return { order: { $case: "cancel", value: { taskId, epoch } } };
    }
    case "yield": {
      const { taskId, epoch } = order;
      return { order: { $case: "yield", value: { taskId, epoch } } };
    }
    case "continue-alone": {
      const { taskId, epoch, newEpoch } = order;
      return { order: { $case: "continueAlone", value: { taskId, epoch, newEpoch } } };
    }
  }
}

/** @throws FarmError "invalid-argument" naming the field */
export function decodeNodeOrder(wire: ConnectResponse): NodeOrder {
  const { $case: kind, value } = check.present(wire.order, "order");
  switch (kind) {
    case "welcome": {
      const heartbeatMs = check.atLeast(value.heartbeatMs, 1, "welcome.heartbeat_ms");
      // A lease that one late heartbeat ends would cut every node off.
      const leaseMs = check.atLeast(value.leaseMs, 2 * heartbeatMs, "welcome.lease_ms");
      return { kind, leaseMs, heartbeatMs, takesEndings: value.takesEndings };
    }
    case "heartbeatAck":
      return { kind: "heartbeat-ack" };
    case "assign":
      return { kind, assignment: decodeAssignment(value) };
    case "cancel":
    case "yield":
      return { kind, ...decodeTarget(value, kind) };
    case "continueAlone": {
      const target = decodeTarget(value, "continue_alone");
      const newEpoch = check.atLeast(value.newEpoch, target.epoch + 1, "continue_alone.new_epoch");
      return { kind: "continue-alone", ...target, newEpoch };
    }
  }
}

function decodeTarget(
  value: { taskId: string; epoch: number },
  field: string,
): { taskId: string; epoch: number } {
  return {
    taskId: check.taskId(value.taskId, `${field}.task_id`),
    epoch: check.atLeast(value.epoch, 1, `${field}.epoch`),
  };
}

function encodeIdentity(identity: NodeIdentity): NodeHello {
  return {
    ...identity,
    model: encodeModelInfo(identity.model),
    memoryBytes: BigInt(identity.memoryBytes),
    prefers: encodePreference(identity.prefers),
  };
}

export function encodePreference(preference: NodePreference): WirePreference {
  return PREFERENCE_ON_WIRE[preference];
}

/** Of a node that names none, or one that this program does not know: any work. */
export function decodePreference(wire: WirePreference): NodePreference {
  const names = Object.keys(PREFERENCE_ON_WIRE) as NodePreference[];
  return names.find((name) => PREFERENCE_ON_WIRE[name] === wire) ?? "any";
}

function decodeIdentity(hello: NodeHello): NodeIdentity {
  return {
    nodeId: check.nodeId(hello.nodeId, "hello.node_id"),
    bootId: check.bootId(hello.bootId, "hello.boot_id"),
    model: decodeModelInfo(hello.model, "hello.model"),
    provider: check.text(hello.provider, "hello.provider", 64),
    planHash: check.sha256(hello.planHash, "hello.plan_hash"),
    busAddress: check.busAddress(hello.busAddress, "hello.bus_address"),
    busToken: check.text(hello.busToken, "hello.bus_token", 128),
    hasFfmpeg: hello.hasFfmpeg,
    memoryBytes: check.safeInteger(hello.memoryBytes, "hello.memory_bytes"),
    prefers: decodePreference(hello.prefers),
  };
}

function encodeReport(
  taskId: string,
  epoch: number,
  report: TaskReport,
): NonNullable<ConnectRequest["report"]> {
  switch (report.kind) {
    case "progress": {
      const { stepsDone, secondsPerStep, spent } = report;
      return { $case: "progress", value: { taskId, epoch, stepsDone, secondsPerStep, spent } };
    }
    case "finished":
      return { $case: "finished", value: { taskId, epoch, result: encodeResult(report.result) } };
    case "failed": {
      const detail = report.detail.slice(0, DETAIL_LENGTH_MAX);
      return {
        $case: "failed",
        value: { taskId, epoch, code: report.code, detail, blobKey: report.blobKey ?? "" },
      };
    }
    case "checkpointed": {
      const checkpoint = encodeCheckpoint(report.checkpoint);
      return { $case: "checkpointed", value: { taskId, epoch, checkpoint } };
    }
    case "ending":
      return { $case: "ending", value: { taskId, epoch } };
    case "yielded": {
      const checkpoint = report.checkpoint ? encodeCheckpoint(report.checkpoint) : undefined;
      return { $case: "yielded", value: { taskId, epoch, checkpoint } };
    }
    case "pair-broken": {
      const reason = report.reason.slice(0, DETAIL_LENGTH_MAX);
      return { $case: "pairBroken", value: { taskId, epoch, step: report.step, reason } };
    }
  }
}

function decodeReport(wire: NonNullable<ConnectRequest["report"]>): TaskReport {
  switch (wire.$case) {
    case "progress": {
      const { stepsDone, spent } = wire.value;
      const secondsPerStep = check.seconds(wire.value.secondsPerStep, "progress.seconds_per_step");
      const told = spent ? { spent: decodeDenoiseTime(spent, "progress.spent") } : {};
      return { kind: "progress", stepsDone, secondsPerStep, ...told };
    }
    case "finished":
      return { kind: "finished", result: decodeResult(wire.value.result, "finished.result") };
    case "failed": {
      const detail = wire.value.detail.slice(0, DETAIL_LENGTH_MAX);
      const { code, blobKey } = wire.value;
      const blob = isBlobKey(blobKey) ? { blobKey } : {};
      // A code of a newer node is a failure all the same; refusing the report would hang the task.
      if (isFarmErrorCode(code)) return { kind: "failed", code, detail, ...blob };
      return { kind: "failed", code: "runtime-failed", detail: `${code.slice(0, 64)}: ${detail}` };
    }
    case "checkpointed": {
      const checkpoint = check.present(wire.value.checkpoint, "checkpointed.checkpoint");
      return { kind: "checkpointed", checkpoint: decodeCheckpoint(checkpoint, "checkpointed") };
    }
    case "ending":
      return { kind: "ending" };
    case "yielded": {
      const { checkpoint } = wire.value;
      return {
        kind: "yielded",
        checkpoint: checkpoint ? decodeCheckpoint(checkpoint, "yielded") : null,
      };
    }
    case "pairBroken":
      return {
        kind: "pair-broken",
        step: wire.value.step,
        reason: wire.value.reason.slice(0, DETAIL_LENGTH_MAX),
      };
    default:
      return check.refuseField("report", `${wire.$case} is no report of a task`);
  }
}
