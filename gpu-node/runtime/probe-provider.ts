/** @file Finds out at the start whether a provider can run anything on this machine. */
import { FarmError } from "../../shared/core/errors.js";
import { tensor } from "../../shared/tensor/tensor.js";
import { GraphBuilder } from "../model/graph-builder.js";
import { sigmoid } from "../model/ops-math.js";
import { asEngineFailure } from "./engine-failure.js";
import { openSession, type SessionSettings } from "./session.js";

/** @throws FarmError "invalid-argument" with the engine's words when one operator does not run */
export async function probeProvider(settings: SessionSettings): Promise<void> {
  const { provider } = settings;
  if (provider === "cpu") return;
  const g = new GraphBuilder("probe");
  g.output("y", sigmoid(g.input("x", [1])));
  try {
    const session = await openSession(g.build(0), ".", settings);
    await session.run({ x: tensor([1], Float32Array.of(0)) });
    await session.close();
  } catch (error) {
    const { detail } = asEngineFailure(error);
    throw new FarmError(
      "invalid-argument",
      `--provider ${provider} finds nothing to run on here: ${detail}; take --provider cpu`,
      { cause: error },
    );
  }
}
