/** A farm over TLS, its users with keys: what it renders, and whom it does not let in. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { hashesOf, undisturbed } from "../farm/farm-harness.js";
import { SecuredFarm, submit } from "./secured-farm.js";

const PARAMETERS = { numInferenceSteps: 4, formats: ["safetensors"] } as const;

let farm: SecuredFarm;
beforeAll(async () => {
  farm = await SecuredFarm.start(2);
});
afterAll(() => farm?.stop());
beforeEach(() => farm.explainFailure());

describe("a farm over TLS", () => {
  test("renders a pair's clip with the bytes of a farm without", async () => {
    const alice = await farm.clientOf("alice", ["submit", "read"]);
    const job = await submit(alice, { ...PARAMETERS, pair: "always" });
    expect(job.options.owner).toBe("alice");
    const ended = await farm.follow(alice, job.jobId).end();
    const [expected] = await undisturbed({
      ...(await import("../farm/farm-harness.js")).CLIP,
      ...PARAMETERS,
      formats: ["safetensors"],
    });
    expect(hashesOf(ended)).toEqual(expected);
    expect(ended.clips[0]?.plan).toBe("pair");
  });
});
