/**
 * @file Port: moves the halves of denoise steps between the two nodes of a pair.
 *
 * Embedded: a framed socket from node to node. Production: NATS core subjects.
 */
import type { GuidanceHalf, Partner } from "../farm/work.js";

/** Describes a half and fences it: a receiver checks all of it before it uses the payload. */
export interface FrameHeader {
  readonly jobId: string;
  readonly clipId: string;
  readonly epoch: number;
  readonly attempt: number;
  /** From 0. */
  readonly step: number;
  readonly half: GuidanceHalf;
  readonly dtype: "F32" | "F16";
  readonly shape: readonly number[];
  /** Hex sha256 of the payload. */
  readonly sha256: string;
  /** Hash of everything that must be equal in both replicas: model, runtime, step table. */
  readonly planHash: string;
  /** Hex sha256 of the latents that went into this step: replicas must agree. */
  readonly latentsDigest: string;
  /** W3C Trace Context of the task that made the half; absent where that is not traced. */
  readonly traceparent?: string;
}

/** Why a channel ended, in words for a log. */
export interface ChannelEvents {
  /** A whole frame whose payload has the length and checksum that its header names. */
  readonly onFrame: (header: FrameHeader, payload: Uint8Array) => void;
  /** The partner cannot be reached any more; called at most once, and not after `close`. */
  readonly onLost: (reason: string) => void;
}

export interface BusChannel {
  /** Queues a frame for the partner. What cannot be delivered ends in `onLost`, never here. */
  send(header: FrameHeader, payload: Uint8Array): void;
  /** Leaves the channel; frames that come later are dropped. */
  close(): void;
}

export interface TensorBus {
  /**
   * Opens the channel of one pair.
   *
   * @param channelId equal on both sides and unique to (task, epoch)
   */
  join(channelId: string, partner: Partner, events: ChannelEvents): BusChannel;
}
