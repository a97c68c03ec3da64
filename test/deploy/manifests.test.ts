/** Every overlay is built and held to every policy; and every policy finds the faults it is there for. */
import { describe, expect, test } from "vitest";
import { FAULTS } from "./faults/faults.js";
import {
  type KubeObject,
  OVERLAYS,
  renderFiller,
  renderOverlays,
  workloadsOf,
} from "./overlays.js";
import { POLICIES, type Policy, type PolicyName } from "./policies/policies.js";

const rendered = await renderOverlays();
const filler = await renderFiller();
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

describe.skipIf(filler === null)("the pod that fills the claim of checkpoints", () => {
  const { kind, metadata, spec } = filler!;
  const volume = spec["volumes"][0].persistentVolumeClaim;
  /** As the pods of a workload are looked at. */
  const workload = (): KubeObject[] => [
    { ...filler!, kind: "StatefulSet", spec: { template: { metadata, spec } } },
  ];

  test("is of the schema of pods", () => {
    expect(kind).toBe("Pod");
    expect(POLICIES.schemas([filler!])).toEqual([]);
  });

  test.each(["names", "images", "resources", "restricted", "secrets", "volumes"] as const)(
    "keeps to %s as every pod does",
    (name) => {
      expect(POLICIES[name](workload())).toEqual([]);
    },
  );

  test("may write to the claim that the nodes of local-cpu read", () => {
    const nodes = workloadsOf(rendered!.get("local-cpu")!).find(
      ({ metadata: { name } }) => name === "node-any",
    );
    const claims = nodes!["spec"].template.spec.volumes.flatMap(
      ({ persistentVolumeClaim: claim = null }) => claim ?? [],
    );
    expect(claims).toEqual([{ ...volume, readOnly: true }]);
    expect(volume).toEqual({ claimName: "models" });
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
