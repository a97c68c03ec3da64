/** Every overlay is built and held to every policy; and every policy finds the faults it is there for. */
import { describe, expect, test } from "vitest";
import { FAULTS } from "./faults/faults.js";
import { type KubeObject, OVERLAYS, renderOverlays } from "./overlays.js";
import { POLICIES, type Policy, type PolicyName } from "./policies/policies.js";

const rendered = await renderOverlays();
const policies = Object.entries(POLICIES) as [PolicyName, Policy][];

describe.skipIf(rendered === null).each([...OVERLAYS])("overlay %s keeps to", (overlay) => {
  const objects = rendered?.get(overlay) ?? [];

  test("what makes a farm: something to look at", () => {
    expect(objects.length).toBeGreaterThan(15);
  });

  test.each(policies)("%s", (_name, policy) => {
    expect(policy(objects)).toEqual([]);
  });
});

describe.skipIf(rendered === null)("planted in a copy of the objects, this is found:", () => {
  test.each(FAULTS.map((each) => [each.policy, each.fault, each] as const))("%s: %s", (...row) => {
    const { policy, overlay, plant, says } = row[2];
    const objects = structuredClone(rendered?.get(overlay) ?? []) as KubeObject[];
    plant(objects);
    const found = POLICIES[policy](objects);
    expect(found).not.toEqual([]);
    expect(found.filter((problem) => !says.test(problem))).toEqual([]);
  });

  test("at least one fault of every policy", () => {
    expect(new Set(FAULTS.map(({ policy }) => policy))).toEqual(new Set(Object.keys(POLICIES)));
  });
});
