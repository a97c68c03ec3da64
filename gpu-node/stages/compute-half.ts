/**
 * @file One half of a step by the UNet, or by its outermost layers and features of an earlier step.
 *
 * Features are never handed over: whoever lacks them makes them again from the latents of the step
 * that they belong to, which every state of a replica carries. So the bytes of a clip do not depend on
 * who computed which half, nor on when somebody took over.
 */
import { assert } from "../../shared/core/assert.js";
import type { GuidanceHalf } from "../../shared/farm/work.js";
import type { Tensor } from "../../shared/tensor/tensor.js";
import type { Runtime } from "../runtime/runtime.js";
import type { DenoiseReplica } from "./denoise-maths.js";

/** Computes the halves of one clip; holds at most the features of one step for each half. */
export class HalfComputer {
  readonly #runtime: Pick<Runtime, "run">;
  readonly #features = new Map<GuidanceHalf, { readonly step: number; readonly values: Tensor }>();

  constructor(runtime: Pick<Runtime, "run">) {
    this.#runtime = runtime;
  }

  /**
   * The UNet's answer to one half of the replica's next step.
   *
   * @returns [1, F, C, h, w]
   * @throws what the runtime throws
   */
  async compute(replica: DenoiseReplica, half: GuidanceHalf): Promise<Tensor> {
    const { step, featureStep, cachesFeatures } = replica;
    if (!cachesFeatures) return this.#run(replica.graph, replica.unetInputs(half));
    if (featureStep === null) return this.#runWhole(replica, half, step, "next-step");
    if (this.#features.get(half)?.step !== featureStep) {
      await this.#runWhole(replica, half, featureStep, "feature-step");
    }
    const inner_features = this.#features.get(half)!.values;
    const graph = { ...replica.graph, features: "reuse" } as const;
    return this.#run(graph, { ...replica.unetInputs(half), inner_features });
  }

  async #runWhole(
    replica: DenoiseReplica,
    half: GuidanceHalf,
    step: number,
    of: "next-step" | "feature-step",
  ): Promise<Tensor> {
    const graph = { ...replica.graph, features: "keep" } as const;
    const outputs = await this.#runtime.run(graph, replica.unetInputs(half, of));
    const values = outputs["inner_features"];
    assert(values, "the UNet's output inner_features");
    this.#features.set(half, { step, values });
    return answerOf(outputs);
  }

  async #run(...call: Parameters<Runtime["run"]>): Promise<Tensor> {
    return answerOf(await this.#runtime.run(...call));
  }
}

function answerOf({ out_sample }: Record<string, Tensor>): Tensor {
  assert(out_sample, "the UNet's output out_sample");
  return out_sample;
}
