/** @file One dial of a node to its coordinator: the connection, its stream, and what belongs to both. */
import type { ClientDuplexStream } from "@grpc/grpc-js";
import {
  type ConnectRequest,
  type ConnectResponse,
  NodeServiceClient,
} from "../../proto/gen/renderfarm/v1/node_service.js";
import { nodeClientOptions } from "../../shared/adapters/grpc/connection-options.js";
import { encodeNodeMessage, type NodeMessage } from "../../shared/adapters/grpc/node-codec.js";
import {
  insecureChannel,
  pairOf,
  secureChannel,
} from "../../shared/adapters/tls/grpc-credentials.js";
import type { TlsMaterial } from "../../shared/adapters/tls/tls-files.js";
import type { CancelTimer } from "../../shared/ports/clock.js";

/** What the coordinator's welcome said. */
export interface Lease {
  readonly leaseMs: number;
  readonly heartbeatMs: number;
  readonly takesEndings: boolean;
}

/** From its beginning to its end. */
export interface Dial {
  readonly client: NodeServiceClient;
  readonly stream: ClientDuplexStream<ConnectRequest, ConnectResponse>;
  /** What was shown. */
  readonly tls: TlsMaterial | null;
  /** Null until the welcome. */
  lease: Lease | null;
  lastHeardMs: number;
  /** Messages that wait for the stream to drain; null while it takes more. */
  unsent: NodeMessage[] | null;
  /** The dial whose place this one takes, until its last order was read. */
  older: Dial | null;
  cancelDeadline: CancelTimer;
  cancelHeartbeat: CancelTimer;
}

/** @param address host:port of the coordinator */
export function openDial(address: string, tls: TlsMaterial | null, nowMs: number): Dial {
  const channel = tls ? secureChannel(address, pairOf(tls)) : insecureChannel();
  const options = { ...nodeClientOptions, ...channel.options };
  const client = new NodeServiceClient(address, channel.credentials, options);
  return {
    client,
    stream: client.connect(),
    tls,
    lease: null,
    lastHeardMs: nowMs,
    unsent: null,
    older: null,
    cancelDeadline: () => {},
    cancelHeartbeat: () => {},
  };
}

/** Ends the node's side of the stream behind all that is still to be sent. */
export function finishDial(dial: Dial): void {
  for (const message of dial.unsent ?? []) dial.stream.write(encodeNodeMessage(message));
  dial.unsent = [];
  dial.stream.end();
}

/** Ends it at once, and the one before it. */
export function dropDial(dial: Dial): void {
  if (dial.older) dropDial(dial.older);
  stopTimers(dial);
  dial.stream.cancel();
  dial.client.close();
}

/** Nothing is sent by it, or expected of it in time, any more. */
export function stopTimers(dial: Dial): void {
  dial.cancelDeadline();
  dial.cancelHeartbeat();
}
