/** @file Faults of what keeps a farm going. */
import { alert, type Fault, faultsOf, get, main, pod, remove } from "./fault.js";

export const OF_AVAILABILITY: Fault[] = [
  ...faultsOf("budgets", "production", [
    [
      "a pool without a budget",
      /^StatefulSet node-any: has 0 budgets$/,
      (o) => {
        remove(o, "PodDisruptionBudget", "node-any");
      },
    ],
    [
      "a budget over two pools",
      /(has 2 budgets|chooses node-\S+, node-)/,
      (o) => {
        get(o, "PodDisruptionBudget", "node-any").spec.selector.matchLabels = {
          "renderfarm/role": "node",
        };
      },
    ],
    [
      "a budget that lets no pod go",
      /^PodDisruptionBudget nats: is not one at a time$/,
      (o) => {
        get(o, "PodDisruptionBudget", "nats").spec.maxUnavailable = 0;
      },
    ],
  ]),
  ...faultsOf("spread", "production", [
    [
      "servers of NATS that may share a machine",
      /^StatefulSet nats: its pods may all be on one machine$/,
      (o) => {
        delete pod(o, "nats").topologySpreadConstraints;
      },
    ],
    [
      "a constraint that counts other pods",
      /^StatefulSet coordinator: its pods may all/,
      (o) => {
        pod(o, "coordinator").topologySpreadConstraints[0].labelSelector.matchLabels = { a: "b" };
      },
    ],
  ]),
  ...faultsOf("draining", "production", [
    [
      "a node that is killed in its drain",
      /^StatefulSet node-any: is killed after 30 s/,
      (o) => {
        pod(o, "node-any").terminationGracePeriodSeconds = 30;
      },
    ],
    [
      "a coordinator that is dialled while it ends",
      /^StatefulSet coordinator: is in the addresses/,
      (o) => {
        delete main(o, "coordinator").lifecycle;
      },
    ],
  ]),
  ...faultsOf("gpus", "nvidia-gpu", [
    [
      "a node for CUDA without a GPU",
      /gpu-node-cuda\S+ without a GPU$/,
      (o) => {
        delete main(o, "node-decode").resources.limits["nvidia.com/gpu"];
      },
    ],
    [
      "a node for CUDA that machines with GPUs turn away",
      /gpu-node-cuda\S+ without a toleration$/,
      (o) => {
        delete pod(o, "node-decode").tolerations;
      },
    ],
    [
      "a node for CUDA on another provider",
      /gpu-node-cuda\S+ without the provider cuda$/,
      (o) => {
        main(o, "node-decode").env = [];
      },
    ],
    [
      "a GPU for a node on processors",
      /gpu-node-cpu\S+ with/,
      (o) => {
        main(o, "node-decode").image = "renderfarm/gpu-node-cpu:0.1.0";
      },
    ],
  ]),
  ...faultsOf("scaling", "production", [
    [
      "a pool that is not there",
      /^ScaledObject node-decode: there is no StatefulSet node-decoding$/,
      (o) => {
        get(o, "ScaledObject", "node-decode").spec.scaleTargetRef.name = "node-decoding";
      },
    ],
    [
      "a pool with a number of its own",
      /^ScaledObject node-decode: StatefulSet node-decode says 4 replicas itself$/,
      (o) => {
        get(o, "StatefulSet", "node-decode").spec.replicas = 4;
      },
    ],
  ]),
  ...faultsOf("runbooks", "production", [
    [
      "an alert whose page has no address",
      /^PrometheusRule renderfarm RenderfarmQueueAge: "docs\/.*" is no address of a page$/,
      (o) => {
        alert(o, "RenderfarmQueueAge").annotations.runbook_url =
          "docs/operations/runbooks/queue-age.md";
      },
    ],
    [
      "an alert of a page that there is not",
      /RenderfarmQueueAge: there is no page queue\.md$/,
      (o) => {
        alert(o, "RenderfarmQueueAge").annotations.runbook_url =
          "https://git.example.com/renderfarm/docs/operations/runbooks/queue.md";
      },
    ],
  ]),
];
