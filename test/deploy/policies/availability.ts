/** @file What keeps a farm going while machines and pods come and go. */
import { type KubeObject, matches, nameOf, ofKind, podLabelsOf, workloadsOf } from "../overlays.js";

/** A node ends its step, stores the latents and gives its task back: docs/kubernetes.md. */
const DRAIN_SECONDS = 30;
/** One pod on one disk: a budget would only hold up whoever drains its machine. */
const SINGLE = new Set(["s3"]);

/** Each workload has one budget of its name, that lets one pod go at a time. */
export function budgets(objects: readonly KubeObject[]): string[] {
  const all = ofKind(objects, "PodDisruptionBudget");
  const workloads = workloadsOf(objects).filter(({ metadata }) => !SINGLE.has(metadata.name));
  const choosesOf = (budget: KubeObject) =>
    workloads.filter((w) => matches(budget["spec"].selector.matchLabels, podLabelsOf(w)));
  return [
    ...workloads.flatMap((workload) => {
      const own = all.filter((budget) => choosesOf(budget).includes(workload));
      return own.length === 1 ? [] : [`${nameOf(workload)}: has ${own.length} budgets`];
    }),
    ...all.flatMap((budget) => {
      const chosen = choosesOf(budget).map(({ metadata }) => metadata.name);
      const isOwn = chosen.length === 1 && chosen[0] === budget.metadata.name;
      return [
        ...(isOwn ? [] : [`${nameOf(budget)}: chooses ${chosen.join(", ") || "nothing"}`]),
        ...(budget["spec"].maxUnavailable === 1 ? [] : [`${nameOf(budget)}: is not one at a time`]),
      ];
    }),
  ];
}

/** Pods of a kind go to machines of their own where there are some. */
export function spread(objects: readonly KubeObject[]): string[] {
  return workloadsOf(objects)
    .filter(({ metadata }) => !SINGLE.has(metadata.name))
    .flatMap((workload) => {
      const { topologySpreadConstraints: constraints = [] } = workload["spec"].template.spec;
      const isSpread = constraints.some(
        (each: { topologyKey: string; labelSelector: { matchLabels: Record<string, string> } }) =>
          each.topologyKey === "kubernetes.io/hostname" &&
          matches(each.labelSelector.matchLabels, podLabelsOf(workload)),
      );
      return isSpread ? [] : [`${nameOf(workload)}: its pods may all be on one machine`];
    });
}

/** Whoever is told to end has the time to hand over, and says so before connections are cut. */
export function draining(objects: readonly KubeObject[]): string[] {
  return workloadsOf(objects).flatMap((workload) => {
    const { terminationGracePeriodSeconds: seconds = 0, containers } =
      workload["spec"].template.spec;
    const isNode = matches({ "renderfarm/role": "node" }, podLabelsOf(workload));
    if (isNode) {
      return seconds > DRAIN_SECONDS
        ? []
        : [`${nameOf(workload)}: is killed after ${seconds} s, and a drain takes ${DRAIN_SECONDS}`];
    }
    const needsPreStop =
      workload.metadata.name === "coordinator" || workload.metadata.name === "nats";
    return needsPreStop && !containers[0].lifecycle?.preStop
      ? [`${nameOf(workload)}: is in the addresses while it ends`]
      : [];
  });
}

/** Nodes of the image for CUDA ask for a GPU and for that provider, others for neither. */
export function gpus(objects: readonly KubeObject[]): string[] {
  const nodes = workloadsOf(objects).filter((w) =>
    matches({ "renderfarm/role": "node" }, podLabelsOf(w)),
  );
  return nodes.flatMap((workload) => {
    const { containers, tolerations = [] } = workload["spec"].template.spec;
    const [{ image, resources = {}, env = [] }] = containers;
    const wants = image.startsWith("renderfarm/gpu-node-cuda");
    const has = [
      ["a GPU", resources.limits?.["nvidia.com/gpu"] === 1],
      ["a toleration", tolerations.some((t: { key: string }) => t.key === "nvidia.com/gpu")],
      [
        "the provider cuda",
        env.some(
          (v: { name: string; value?: string }) =>
            v.name === "RENDERFARM_PROVIDER" && v.value === "cuda",
        ),
      ],
    ] as const;
    return has.flatMap(([what, isThere]) =>
      isThere === wants
        ? []
        : [`${nameOf(workload)}: ${image} ${wants ? "without" : "with"} ${what}`],
    );
  });
}

/** What KEDA scales is there, and has no number of its own that every apply would set again. */
export function scaling(objects: readonly KubeObject[]): string[] {
  return ofKind(objects, "ScaledObject").flatMap((scaled) => {
    const { name, kind } = scaled["spec"].scaleTargetRef;
    const target = objects.find((o) => o.kind === kind && o.metadata.name === name);
    if (!target) return [`${nameOf(scaled)}: there is no ${kind} ${name}`];
    return target["spec"].replicas === undefined
      ? []
      : [`${nameOf(scaled)}: ${nameOf(target)} says ${target["spec"].replicas} replicas itself`];
  });
}
