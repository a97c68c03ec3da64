/**
 * @file The connected nodes: one session a node id, of the newest stream that said hello.
 *
 * A node whose certificate was renewed opens a newer stream while the one it has still stands. The
 * session goes over to it at the one moment at which nothing is under way: the node has ended its side
 * of the older stream, and all that it said there was read. The farm hears of nothing. Whatever ends
 * otherwise ends the session, as for any node that is lost.
 */
import type { NodeOrder } from "../../shared/adapters/grpc/node-codec.js";
import type { CancelTimer, Clock } from "../../shared/ports/clock.js";
import { msToNextLook, silentNodes } from "../plan/liveness.js";
import type { NodeInfo } from "../plan/node.js";
import { membersOf } from "../plan/task.js";
import type { FarmLoop, OutsideEffect } from "./farm-loop.js";

/** What sessions need of the loop; a simulation has another one. */
export type SessionLoop = Pick<FarmLoop, "dispatch" | "farm" | "tick">;

/** The way to one node. */
export interface NodeStream {
  send(order: NodeOrder): void;
  /** What a stream that renews another one brings is held back until this. */
  resume(): void;
  /** Ends it at once. */
  close(reason: string): void;
}

interface Session {
  readonly info: NodeInfo;
  stream: NodeStream;
  /** The stream that follows once this one was read to its end. */
  next: NodeStream | null;
  lastHeardMs: number;
  /** It said that it stops: its end is no loss. */
  stopping: boolean;
}

type NodeEffect = Extract<OutsideEffect, { nodeId: string }>;

export class NodeSessions {
  readonly #sessions = new Map<string, Session>();
  readonly #loop: SessionLoop;
  readonly #clock: Clock;
  readonly #onError: (error: unknown) => void;
  #cancelTick: CancelTimer = () => {};

  /** @param onError hears of a journal that cannot be written: the process is to stop */
  constructor(loop: SessionLoop, clock: Clock, onError: (error: unknown) => void) {
    this.#loop = loop;
    this.#clock = clock;
    this.#onError = onError;
  }

  /** Begins to look for silent nodes. */
  start(): void {
    const lookMs = msToNextLook(this.#lastHeard(), this.#clock.nowMs());
    this.#cancelTick = this.#clock.after(lookMs, () => {
      this.#dropSilent();
      this.#loop.tick().catch(this.#onError);
      this.start();
    });
  }

  stop(): void {
    this.#cancelTick();
    for (const session of this.#sessions.values()) closeStreams(session, "the coordinator stops");
    this.#sessions.clear();
  }

  /** A stream has said who it is. An older stream of the same node id is closed. */
  join(info: NodeInfo, stream: NodeStream): void {
    const older = this.#sessions.get(info.nodeId);
    this.#sessions.set(info.nodeId, {
      info,
      stream,
      next: null,
      lastHeardMs: this.#clock.nowMs(),
      stopping: false,
    });
    if (older) closeStreams(older, `node ${info.nodeId} opened a newer stream`);
    this.#dispatch({ kind: "node-joined", node: info });
  }

  /**
   * A stream is to take the place of the one that this boot of the node has, see `finish`.
   *
   * @returns false when there is none: then this node's work is no longer its own
   */
  renew(nodeId: string, bootId: string, stream: NodeStream): boolean {
    const session = this.#sessions.get(nodeId);
    if (session?.info.bootId !== bootId) return false;
    session.next?.close(`node ${nodeId} opened a newer stream`);
    session.next = stream;
    return true;
  }

  /** The node has ended its side of the stream, and all that it said was read. */
  finish(nodeId: string, stream: NodeStream): void {
    const session = this.#sessions.get(nodeId);
    if (session?.stream !== stream || session.next === null) {
      this.leave(nodeId, stream);
      return;
    }
    session.stream = session.next;
    session.next = null;
    session.lastHeardMs = this.#clock.nowMs();
    session.stream.resume();
  }

  /** Whether this stream is the one that counts for the node; notes that the node lives. */
  heard(nodeId: string, stream: NodeStream): boolean {
    const session = this.#sessions.get(nodeId);
    if (session?.stream !== stream) return false;
    session.lastHeardMs = this.#clock.nowMs();
    return true;
  }

  /** Milliseconds since the longest silent node was heard; 0 without nodes. */
  silenceMs(): number {
    const heardMs = Math.min(...this.#lastHeard().values());
    return Number.isFinite(heardMs) ? this.#clock.nowMs() - heardMs : 0;
  }

  /** The node wants to stop: nothing new for it, and its end will be no loss. */
  stopping(nodeId: string, stream: NodeStream): void {
    const session = this.#sessions.get(nodeId);
    if (session?.stream !== stream || session.stopping) return;
    session.stopping = true;
    this.#dispatch({ kind: "node-stopping", nodeId });
  }

  /** The stream has ended, or is given up. */
  leave(nodeId: string, stream: NodeStream): void {
    const session = this.#sessions.get(nodeId);
    if (session?.next === stream) session.next = null;
    if (session?.stream !== stream) return;
    this.#sessions.delete(nodeId);
    const { info, stopping } = session;
    session.next?.close(`the stream of node ${nodeId} that it was to follow broke off`);
    this.#dispatch({ kind: "node-left", nodeId, bootId: info.bootId, stopped: stopping });
  }

  /** Sends an order, unless the farm has moved on since it was decided. */
  execute(effect: NodeEffect): void {
    const session = this.#sessions.get(effect.nodeId);
    if (!session) return;
    switch (effect.kind) {
      case "assign":
        if (this.#isMember(effect.assignment.taskId, effect.assignment.epoch, effect.nodeId)) {
          session.stream.send({ kind: "assign", assignment: effect.assignment });
        }
        return;
      case "cancel":
        session.stream.send({ kind: "cancel", taskId: effect.taskId, epoch: effect.epoch });
        return;
      case "yield":
        if (this.#isMember(effect.taskId, effect.epoch, effect.nodeId)) {
          session.stream.send({ kind: "yield", taskId: effect.taskId, epoch: effect.epoch });
        }
        return;
      case "continue-alone":
        if (this.#isMember(effect.taskId, effect.newEpoch, effect.nodeId)) {
          const { taskId, epoch, newEpoch } = effect;
          session.stream.send({ kind: "continue-alone", taskId, epoch, newEpoch });
        }
        return;
    }
  }

  #isMember(taskId: string, epoch: number, nodeId: string): boolean {
    const task = this.#loop.farm.tasks.get(taskId);
    return task?.epoch === epoch && membersOf(task).some((member) => member.nodeId === nodeId);
  }

  #dropSilent(): void {
    for (const nodeId of silentNodes(this.#lastHeard(), this.#clock.nowMs())) {
      const { stream } = this.#sessions.get(nodeId)!;
      this.leave(nodeId, stream);
      stream.close(`node ${nodeId} was silent for too long`);
    }
  }

  #lastHeard(): Map<string, number> {
    return new Map([...this.#sessions].map(([nodeId, { lastHeardMs }]) => [nodeId, lastHeardMs]));
  }

  #dispatch(occurrence: Parameters<FarmLoop["dispatch"]>[0]): void {
    this.#loop.dispatch(occurrence).catch(this.#onError);
  }
}

function closeStreams({ stream, next }: Session, reason: string): void {
  stream.close(reason);
  next?.close(reason);
}
