/** @file ModelInfo on the wire. */
import {
  type ModelInfo as WireModelInfo,
  StepRule as WireRule,
} from "../../../proto/gen/renderfarm/v1/model.js";
import { STEP_RULES, type StepRule } from "../../farm/parameters.js";
import type { ModelInfo } from "../../farm/work.js";
import { atLeast, present, sha256, text } from "./wire-checks.js";

const RULE_ON_WIRE = {
  "as-asked": WireRule.AS_ASKED,
  "one-more": WireRule.ONE_MORE,
  trailing: WireRule.TRAILING,
} as const satisfies Record<StepRule, WireRule>;

export function encodeModelInfo(model: ModelInfo): WireModelInfo {
  return { ...model, sampleSize: model.sampleSize ?? 0, stepRule: RULE_ON_WIRE[model.stepRule] };
}

/** @throws FarmError "invalid-argument" naming the field */
export function decodeModelInfo(wire: WireModelInfo | undefined, field: string): ModelInfo {
  const model = present(wire, field);
  return {
    digest: sha256(model.digest, `${field}.digest`),
    name: text(model.name, `${field}.name`, 255),
    numFrames: atLeast(model.numFrames, 1, `${field}.num_frames`),
    sampleSize: model.sampleSize === 0 ? null : model.sampleSize,
    vaeScaleFactor: atLeast(model.vaeScaleFactor, 1, `${field}.vae_scale_factor`),
    latentChannels: atLeast(model.latentChannels, 1, `${field}.latent_channels`),
    numTrainTimesteps: atLeast(model.numTrainTimesteps, 1, `${field}.num_train_timesteps`),
    stepRule: STEP_RULES.find((rule) => RULE_ON_WIRE[rule] === model.stepRule) ?? "as-asked",
  };
}
