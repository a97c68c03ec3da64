/** @file For tests of the node's link: a coordinator that only does what the test says, over real gRPC. */
import { Server, ServerCredentials, type ServerDuplexStream } from "@grpc/grpc-js";
import {
  type ConnectRequest,
  type ConnectResponse,
  NodeServiceService,
} from "../../proto/gen/renderfarm/v1/node_service.js";
import { serverOptions } from "../../shared/adapters/grpc/connection-options.js";
import {
  decodeNodeMessage,
  encodeNodeOrder,
  type NodeIdentity,
  type NodeMessage,
  type NodeOrder,
} from "../../shared/adapters/grpc/node-codec.js";

export type Call = ServerDuplexStream<ConnectRequest, ConnectResponse>;

export const HASH = "ab".repeat(32);
export const JOB = "0123456789abcdefghjkmnpqrs";
export const TASK = `${JOB}-0-denoise`;
export const identity: NodeIdentity = {
  nodeId: "node-1",
  bootId: JOB,
  model: {
    digest: HASH,
    name: "demo",
    numFrames: 14,
    sampleSize: 8,
    vaeScaleFactor: 8,
    latentChannels: 4,
    numTrainTimesteps: 1000,
    stepRule: "as-asked",
  },
  provider: "cpu",
  planHash: HASH,
  busAddress: "127.0.0.1:1",
  busToken: "t",
  hasFfmpeg: false,
  memoryBytes: 16 * 2 ** 30,
  prefers: "any",
};
export const WELCOME: NodeOrder = {
  kind: "welcome",
  leaseMs: 5_000,
  heartbeatMs: 1_000,
  takesEndings: true,
};

/** A coordinator that only does what the test says. */
export class ScriptedCoordinator {
  readonly calls: Call[] = [];
  readonly heard: NodeMessage[] = [];
  readonly #heardBy = new Map<number, NodeMessage[]>();
  readonly ended: number[] = [];
  address = "";
  /** The node has said hello, or that it renews its stream. */
  onConnect: (call: Call) => void = (call) => this.tell(WELCOME, call);
  /** The node has ended its side. */
  onEnd: (call: Call) => void = (call) => void call.end();
  #wake: () => void = () => {};
  #server = new Server(serverOptions);

  async listen(port = 0, credentials = ServerCredentials.createInsecure()): Promise<void> {
    this.#server = new Server(serverOptions);
    this.#server.addService(NodeServiceService, { connect: (call: Call) => this.#serve(call) });
    const bound = await new Promise<number>((resolve, reject) => {
      this.#server.bindAsync(`127.0.0.1:${port}`, credentials, (error, p) =>
        error ? reject(error) : resolve(p),
      );
    });
    this.address = `127.0.0.1:${bound}`;
  }

  stop(): void {
    this.#server.forceShutdown();
  }

  /** Something has happened: whoever waits looks again. */
  wake(): void {
    this.#wake();
  }

  /** Looks again whenever something has happened. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** What came by one stream, the first is 0. */
  heardOf(index: number): readonly NodeMessage[] {
    return this.#heardBy.get(index) ?? [];
  }

  tell(order: NodeOrder, call = this.calls.at(-1)!): void {
    call.write(encodeNodeOrder(order));
  }

  #serve(call: Call): void {
    const index = this.calls.push(call) - 1;
    call.on("data", (wire: ConnectRequest) => {
      const message = decodeNodeMessage(wire);
      this.heard.push(message);
      this.#heardBy.set(index, [...this.heardOf(index), message]);
      if (message.kind === "hello" || message.kind === "renewal") this.onConnect(call);
      this.wake();
    });
    const end = () => {
      if (!this.ended.includes(index)) this.ended.push(index);
      this.wake();
    };
    call.on("end", () => {
      this.onEnd(call);
      end();
    });
    call.on("cancelled", end);
    call.on("error", () => {});
  }
}
