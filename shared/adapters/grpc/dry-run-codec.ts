/** @file Codec: the answer to a job that was only to be tried. */
import type { DryRun, DryRun_Node } from "../../../proto/gen/renderfarm/v1/job_service.js";
import type { DryRunNode, DryRunView } from "../../farm/job.js";
import type { JobParameters } from "../../farm/parameters.js";
import { decodeStageName, encodeStage } from "./job-codec.js";
import { decodeJobParameters, encodeJobParameters } from "./parameters-codec.js";
import * as check from "./wire-checks.js";

export function encodeDryRun(view: DryRunView, parameters: JobParameters): DryRun {
  return {
    ...view,
    nodes: view.nodes.map((node) => ({
      ...node,
      memoryBytes: BigInt(node.memoryBytes),
      tooSmallFor: node.tooSmallFor.map((stage) => encodeStage(stage)),
    })),
    whyNotNow: [...view.whyNotNow],
    etaSeconds: view.etaSeconds ?? undefined,
    parameters: encodeJobParameters(parameters),
  };
}

/** @throws FarmError "invalid-argument" naming the field */
export function decodeDryRun(message: DryRun | undefined): {
  readonly view: DryRunView;
  readonly parameters: JobParameters;
} {
  const { parameters, plan, etaSeconds, nodes, ...rest } = check.present(message, "dry_run");
  return {
    view: {
      ...rest,
      nodes: nodes.map(decodeDryRunNode),
      plan: plan === "pair" ? "pair" : "single",
      etaSeconds: etaSeconds ?? null,
    },
    parameters: decodeJobParameters(parameters, "dry_run.parameters"),
  };
}

function decodeDryRunNode(node: DryRun_Node): DryRunNode {
  const { nodeId, whyNot, memoryBytes, tooSmallFor } = node;
  const field = "dry_run.nodes";
  return {
    ...{ nodeId, whyNot },
    memoryBytes: check.safeInteger(memoryBytes, `${field}.memory_bytes`),
    tooSmallFor: tooSmallFor.map((stage) => decodeStageName(stage, `${field}.too_small_for`)),
  };
}
