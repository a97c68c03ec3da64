/** @file One gRPC stream between a node and the coordinator: ordered both ways, until an end is lost. */
import type { NodeMessage, NodeOrder } from "../../shared/adapters/grpc/node-codec.js";
import type { Network, Pipe } from "./network.js";
import type { SimProcess } from "./process.js";

/** What a node hears on its stream. */
export interface NodeEnd {
  readonly onOrder: (order: NodeOrder) => void;
  readonly onEnd: (reason: string) => void;
}

/** What serves a stream in the coordinator. */
export interface ServerEnd {
  readonly onMessage: (message: NodeMessage) => void;
  readonly onEnd: () => void;
}

/** Takes a new stream in; null while nobody listens. */
export type Listener = (stream: SimStream) => ServerEnd | null;

export class SimStream {
  readonly nodeId: string;
  readonly #node: SimProcess;
  readonly #nodeGeneration: number;
  readonly #nodeEnd: NodeEnd;
  readonly #server: SimProcess;
  readonly #listen: Listener;
  readonly #toServer: Pipe;
  readonly #toNode: Pipe;
  /** Of the coordinator that took the stream in. */
  #served: { readonly end: ServerEnd; readonly generation: number } | null = null;
  #endedByNode = false;
  #endedByServer = false;

  constructor(
    network: Network,
    node: SimProcess,
    server: SimProcess,
    listen: Listener,
    nodeEnd: NodeEnd,
  ) {
    this.nodeId = node.name;
    this.#node = node;
    this.#nodeGeneration = node.generation;
    this.#nodeEnd = nodeEnd;
    this.#server = server;
    this.#listen = listen;
    this.#toServer = network.pipe(node.name, server.name);
    this.#toNode = network.pipe(server.name, node.name);
  }

  /** Whether one of the ends has given it up. */
  get isOver(): boolean {
    return this.#endedByNode || this.#endedByServer;
  }

  /** From the node. */
  send(message: NodeMessage): void {
    if (this.#endedByNode) return;
    this.#toServer.send(() => this.#atServer((end) => end.onMessage(message)));
  }

  /** From the coordinator. */
  order(order: NodeOrder): void {
    if (this.#endedByServer) return;
    this.#toNode.send(() => this.#atNode(() => this.#nodeEnd.onOrder(order)));
  }

  /** The node's end is closed, by the node or with its process. */
  endByNode(): void {
    if (this.#endedByNode) return;
    this.#endedByNode = true;
    this.#toServer.send(() => {
      if (this.#served) this.#atServer((end) => end.onEnd());
    });
  }

  /** The coordinator's end is closed, by the coordinator or with its process. */
  endByServer(reason: string): void {
    if (this.#endedByServer) return;
    this.#endedByServer = true;
    this.#toNode.send(() => this.#atNode(() => this.#nodeEnd.onEnd(reason)));
  }

  /** The connection breaks: both ends are told, what is under way is lost. */
  cut(): void {
    this.#toServer.cut();
    this.#toNode.cut();
    if (this.#served) this.#atServer((end) => end.onEnd());
    this.#atNode(() => this.#nodeEnd.onEnd("the connection was cut"));
    this.#endedByNode = true;
    this.#endedByServer = true;
  }

  #atServer(act: (end: ServerEnd) => void): void {
    if (!this.#server.alive) {
      this.endByServer("connection refused");
      return;
    }
    this.#server.guard(() => {
      this.#served ??= this.#accept();
      if (this.#served === null) this.endByServer("connection refused");
      else if (this.#served.generation === this.#server.generation) act(this.#served.end);
    })();
  }

  #accept(): { readonly end: ServerEnd; readonly generation: number } | null {
    const end = this.#listen(this);
    return end && { end, generation: this.#server.generation };
  }

  #atNode(act: () => void): void {
    if (this.#node.generation === this.#nodeGeneration) this.#node.guard(act)();
  }
}
