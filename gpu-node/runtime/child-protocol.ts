/** @file What a node's agent and its runtime child say to each other; tensors go along in frames. */
import { FarmError, type FarmErrorCode, type Violation } from "../../shared/core/errors.js";
import type { GraphSpec } from "./runtime.js";
import type { RuntimeInfo, RuntimeSettings } from "./runtime-info.js";

/** The file descriptor of the child's end of the stream. */
export const STREAM_FD = 3;

/** From the agent: `open` once and first, then runs, each with the graph's inputs. */
export type ToChild =
  | { readonly kind: "open"; readonly settings: RuntimeSettings; readonly parentPid: number }
  | { readonly kind: "run"; readonly id: number; readonly graph: GraphSpec };

/** From the child: `ready` or `refused` once; then an answer a run, in order, `done` with outputs. */
export type FromChild =
  | { readonly kind: "ready"; readonly info: RuntimeInfo }
  | { readonly kind: "refused"; readonly error: WireError }
  | { readonly kind: "done"; readonly id: number }
  | { readonly kind: "failed"; readonly id: number; readonly error: WireError };

/** A FarmError without its class, which the stream does not carry. */
export interface WireError {
  readonly code: FarmErrorCode;
  readonly detail: string;
  readonly violations: readonly Violation[];
}

export function toWireError({ code, detail, violations }: FarmError): WireError {
  return { code, detail, violations };
}

export function fromWireError({ code, detail, violations }: WireError): FarmError {
  return new FarmError(code, detail, { violations });
}
