/** @file A farm and its nodes as operators see them. */
import type { FarmNode, GetFarmResponse } from "../proto/gen/renderfarm/v1/job_service.js";
import { decodeStageName, decodeUsage } from "../shared/adapters/grpc/job-codec.js";
import { decodeModelInfo } from "../shared/adapters/grpc/model-codec.js";
import { decodePreference } from "../shared/adapters/grpc/node-codec.js";
import { FarmError } from "../shared/core/errors.js";
import type { Seconds } from "../shared/farm/job.js";
import type { ModelInfo, NodePreference, Stage } from "../shared/farm/work.js";

/** A farm as it is now. */
export interface FarmView {
  /** Every checkpoint that a connected node serves, once. */
  readonly models: readonly ModelInfo[];
  readonly nodes: readonly NodeView[];
  /** The coordinator's; "" of one that does not tell. */
  readonly version: string;
  /** Seconds that nodes were held, by whose jobs and by stage; also those of deleted jobs. */
  readonly usage: {
    readonly byOwner: readonly (Seconds & { readonly owner: string })[];
    readonly byStage: readonly (Seconds & { readonly stage: Stage })[];
  };
}

/** A node as operators see it. */
export interface NodeView {
  readonly nodeId: string;
  /** "" when it is not connected. */
  readonly modelDigest: string;
  readonly provider: string;
  /** Tasks it works on. */
  readonly taskCount: number;
  /** "" when it may have work; else why not: draining, quarantined, held down, stopping. */
  readonly refusal: string;
  readonly connected: boolean;
  /** Bytes that its runtime may use; 0: not known. */
  readonly memoryBytes: number;
  /** The work it takes first when several kinds wait. */
  readonly prefers: NodePreference;
}

/** @throws FarmError "unreachable" when the answer is not what this version knows */
export function viewFarm(farm: GetFarmResponse): FarmView {
  return {
    models: farm.models.map((model, i) => decodeModelInfo(model, `models[${i}]`)),
    nodes: farm.nodes.map(viewNode),
    version: farm.version,
    usage: {
      byOwner: farm.usageByOwner.map(({ owner, usage }) => ({ owner, ...decodeUsage(usage) })),
      byStage: farm.usageByStage.map(({ stage, usage }, i) => ({
        stage: decodeStageName(stage, `usage_by_stage[${i}].stage`),
        ...decodeUsage(usage),
      })),
    },
  };
}

/** @throws FarmError "unreachable" when the answer has no node */
export function viewNode(node: FarmNode | undefined): NodeView {
  if (!node) throw new FarmError("unreachable", "the answer names no node");
  const { memoryBytes, prefers, ...rest } = node;
  return { ...rest, memoryBytes: Number(memoryBytes), prefers: decodePreference(prefers) };
}
