/** @file Finds out at the start whether a provider can run anything on this machine. */
import { FarmError } from "../../shared/core/errors.js";
import { type ComputeType, tensor } from "../../shared/tensor/tensor.js";
import { GraphBuilder } from "../model/graph-builder.js";
import { cast, sigmoid, toComputeType } from "../model/ops-math.js";
import { asEngineFailure } from "./engine-failure.js";
import { variantOf } from "./provider.js";
import { openSession, type SessionSettings } from "./session.js";

/**
 * @param dtype that the graphs will compute in
 * @throws FarmError "invalid-argument" with the engine's words when one operator does not run
 */
export async function probeProvider(settings: SessionSettings, dtype: ComputeType): Promise<void> {
  const { provider } = settings;
  if (provider === "cpu") return;
  await probe(settings, "float32", `--provider ${provider} finds nothing to run on here`, [
    "--provider cpu",
  ]);
  if (dtype === "float32") return;
  const where = `--dtype float16: this machine's ${provider} device does not compute in it`;
  await probe(settings, dtype, where, ["--dtype float32", "--provider cpu"]);
}

async function probe(
  settings: SessionSettings,
  dtype: ComputeType,
  what: string,
  waysOut: readonly string[],
): Promise<void> {
  const g = new GraphBuilder("probe", variantOf(settings.provider, dtype));
  g.output("y", cast(sigmoid(toComputeType(g.input("x", [1]))), "float32"));
  try {
    const session = await openSession(g.build(0), ".", settings);
    await session.run({ x: tensor([1], Float32Array.of(0)) });
    await session.close();
  } catch (error) {
    const { detail } = asEngineFailure(error);
    throw new FarmError("invalid-argument", `${what}: ${detail}; take ${waysOut.join(" or ")}`, {
      cause: error,
    });
  }
}
