/** @file What a node's agent and its runtime child say to each other over the fork's channel. */
import { FarmError, type FarmErrorCode, type Violation } from "../../shared/core/errors.js";
import type { Tensor } from "../../shared/tensor/tensor.js";
import type { GraphSpec } from "./runtime.js";
import type { RuntimeInfo, RuntimeSettings } from "./runtime-info.js";

/** From the agent: `open` once and first, then runs. */
export type ToChild =
  | { readonly kind: "open"; readonly settings: RuntimeSettings; readonly parentPid: number }
  | {
      readonly kind: "run";
      readonly id: number;
      readonly graph: GraphSpec;
      readonly inputs: Readonly<Record<string, Tensor>>;
    };

/** From the child: `ready` or `refused` once, then one answer a run, in the order of the runs. */
export type FromChild =
  | { readonly kind: "ready"; readonly info: RuntimeInfo }
  | { readonly kind: "refused"; readonly error: WireError }
  | { readonly kind: "done"; readonly id: number; readonly outputs: Record<string, Tensor> }
  | { readonly kind: "failed"; readonly id: number; readonly error: WireError };

/** A FarmError without its class, which the channel does not carry. */
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
