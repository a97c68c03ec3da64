/** @file NodeService: one stream a node, its reports in and its orders out; two while it is renewed. */
import type { handleBidiStreamingCall, ServerDuplexStream } from "@grpc/grpc-js";
import { status } from "@grpc/grpc-js";
import type {
  ConnectRequest,
  ConnectResponse,
} from "../../proto/gen/renderfarm/v1/node_service.js";
import type { NodeMessage } from "../../shared/adapters/grpc/node-codec.js";
import { decodeNodeMessage, encodeNodeOrder } from "../../shared/adapters/grpc/node-codec.js";
import { toServiceError } from "../../shared/adapters/grpc/status.js";
import { asFarmError, FarmError } from "../../shared/core/errors.js";
import type { Clock } from "../../shared/ports/clock.js";
import { HEARTBEAT_MS, LEASE_MS } from "../plan/limits.js";
import type { FarmLoop } from "../shell/farm-loop.js";
import type { NodeSessions, NodeStream } from "../shell/node-sessions.js";
import type { CallerOf } from "./guard.js";

type NodeCall = ServerDuplexStream<ConnectRequest, ConnectResponse>;

/** A stream that has not said who it is by then is closed. */
const HELLO_DEADLINE_MS = 5_000;

export interface NodeServiceParts {
  readonly loop: FarmLoop;
  readonly sessions: NodeSessions;
  readonly clock: Clock;
  readonly callerOf: CallerOf;
  /** Hears of a journal that cannot be written. */
  readonly onError: (error: unknown) => void;
}

export function connectHandler(
  parts: NodeServiceParts,
): handleBidiStreamingCall<ConnectRequest, ConnectResponse> {
  return (call) => serveNode(parts, call);
}

function serveNode(parts: NodeServiceParts, call: NodeCall): void {
  const { sessions, clock } = parts;
  let nodeId: string | null = null;
  const stream: NodeStream = {
    send: (order) => {
      if (call.writable) call.write(encodeNodeOrder(order));
    },
    resume: () => call.resume(),
    close: (reason) => {
      call.emit("error", { code: status.ABORTED, details: reason });
    },
  };
  const cancelDeadline = clock.after(HELLO_DEADLINE_MS, () => stream.close("no hello came"));

  call.on("data", (wire: ConnectRequest) => {
    try {
      const message = decodeNodeMessage(wire);
      if (nodeId === null) nodeId = welcome(parts, message, { call, stream, cancelDeadline });
      else if (sessions.heard(nodeId, stream)) take(parts, nodeId, message, stream);
    } catch (error) {
      call.emit("error", toServiceError(asFarmError(error, "invalid-argument")));
    }
  });
  const end = (isInOrder: boolean) => {
    cancelDeadline();
    if (nodeId !== null && isInOrder) sessions.finish(nodeId, stream);
    else if (nodeId !== null) sessions.leave(nodeId, stream);
    call.end();
  };
  call.on("end", () => end(true));
  call.on("cancelled", () => end(false));
  call.on("error", () => end(false));
}

interface Greeting {
  readonly call: NodeCall;
  readonly stream: NodeStream;
  readonly cancelDeadline: () => void;
}

/**
 * The first message must be a hello, or a renewal of a stream; the answer goes out before any order.
 *
 * @throws FarmError "permission-denied" to a node that names another one, "wrong-state" for a renewal
 *   of a stream that is gone
 */
function welcome(
  { sessions, callerOf }: NodeServiceParts,
  message: NodeMessage,
  { call, stream, cancelDeadline }: Greeting,
): string | null {
  if (message.kind !== "hello" && message.kind !== "renewal") {
    stream.close(`the first message must be a hello, not ${message.kind}`);
    return null;
  }
  const caller = callerOf(call.metadata);
  const { nodeId } = message.kind === "hello" ? message.identity : message;
  if (caller.kind !== "open" && !(caller.kind === "node" && caller.nodeId === nodeId)) {
    const detail = `the certificate is not that of node '${nodeId}'`;
    throw new FarmError("permission-denied", detail);
  }
  cancelDeadline();
  if (message.kind === "renewal") {
    if (!sessions.renew(nodeId, message.bootId, stream)) {
      const detail = `node ${nodeId} has no stream to renew; begin with a hello`;
      throw new FarmError("wrong-state", detail);
    }
    // Behind the last of the stream before.
    call.pause();
  }
  stream.send({
    ...{ kind: "welcome", leaseMs: LEASE_MS, heartbeatMs: HEARTBEAT_MS },
    takesEndings: true,
  });
  if (message.kind === "hello") sessions.join(message.identity, stream);
  return nodeId;
}

function take(
  { loop, sessions, onError }: NodeServiceParts,
  nodeId: string,
  message: NodeMessage,
  stream: NodeStream,
): void {
  switch (message.kind) {
    case "hello":
    case "renewal":
      stream.close(`a ${message.kind} came that is not the first message`);
      return;
    case "heartbeat":
      stream.send({ kind: "heartbeat-ack" });
      return;
    case "stopping":
      sessions.stopping(nodeId, stream);
      return;
    case "preview":
      loop.reportPreview(message.taskId, message.epoch, message.step, message.image);
      return;
    case "report": {
      const { taskId, epoch, report } = message;
      switch (report.kind) {
        case "progress": {
          const { stepsDone, secondsPerStep, spent } = report;
          if (spent) loop.reportTime({ nodeId, taskId, epoch, spent });
          loop.reportProgress(taskId, { epoch, stepsDone, secondsPerStep });
          return;
        }
        case "finished": {
          const { result } = report;
          loop.dispatch({ kind: "task-finished", taskId, nodeId, epoch, result }).catch(onError);
          return;
        }
        case "failed": {
          const { code, detail, blobKey } = report;
          const failed = { failure: { code, detail }, blobKey };
          loop.dispatch({ kind: "task-failed", taskId, nodeId, epoch, ...failed }).catch(onError);
          return;
        }
        case "checkpointed": {
          const { checkpoint } = report;
          loop
            .dispatch({ kind: "task-checkpointed", taskId, nodeId, epoch, checkpoint })
            .catch(onError);
          return;
        }
        case "ending":
          loop.dispatch({ kind: "task-ending", taskId, nodeId, epoch }).catch(onError);
          return;
        case "yielded": {
          const { checkpoint } = report;
          loop.dispatch({ kind: "task-yielded", taskId, nodeId, epoch, checkpoint }).catch(onError);
          return;
        }
        case "pair-broken": {
          const { step, reason } = report;
          loop
            .dispatch({ kind: "pair-broken", taskId, nodeId, epoch, step, reason })
            .catch(onError);
          return;
        }
      }
    }
  }
}
