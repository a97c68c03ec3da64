/** @file Faults of objects and of what they refer to. */
import { type Fault, faultsOf, get, main, map, pod, policy, remove } from "./fault.js";

export const OF_OBJECTS: Fault[] = [
  ...faultsOf("schemas", "production", [
    [
      "a StatefulSet with a word for a number",
      /^StatefulSet coordinator: /,
      (o) => {
        get(o, "StatefulSet", "coordinator").spec.replicas = "two";
      },
    ],
    [
      "a NetworkPolicy with a number for a selector",
      /^NetworkPolicy dns: /,
      (o) => {
        policy(o, "dns").podSelector = 1;
      },
    ],
    [
      "a ScaledObject with a word for its triggers",
      /^ScaledObject node-decode: /,
      (o) => {
        get(o, "ScaledObject", "node-decode").spec.triggers = "none";
      },
    ],
    [
      "a PodMonitor with a number for its endpoints",
      /^PodMonitor renderfarm: /,
      (o) => {
        get(o, "PodMonitor", "renderfarm").spec.podMetricsEndpoints = 3;
      },
    ],
    [
      "a PrometheusRule with a rule that says nothing",
      /^PrometheusRule renderfarm: /,
      (o) => {
        delete get(o, "PrometheusRule", "renderfarm").spec.groups[0].rules[0].expr;
      },
    ],
    [
      "a Certificate with a word for its names",
      /^Certificate nats: /,
      (o) => {
        get(o, "Certificate", "nats").spec.dnsNames = "one";
      },
    ],
    [
      "a field that is misspelt",
      /^PodDisruptionBudget nats: .*maxUnavailabel/,
      (o) => {
        get(o, "PodDisruptionBudget", "nats").spec.maxUnavailabel = 1;
      },
    ],
    [
      "a kind that its version has not",
      /^StatefulSets coordinator: apps\/v1 has no such kind/,
      (o) => {
        get(o, "StatefulSet", "coordinator").kind = "StatefulSets";
      },
    ],
    [
      "a version that there is not",
      /^ScaledObject node-decode: /,
      (o) => {
        get(o, "ScaledObject", "node-decode").apiVersion = "keda.sh/v9";
      },
    ],
  ]),
  ...faultsOf("names", "nvidia-gpu", [
    [
      "an object that is there twice",
      /^Service nats: is there twice$/,
      (o) => {
        o.push(get(o, "Service", "nats"));
      },
    ],
    [
      "an object in another namespace",
      /^Service s3: is not in the farm's namespace$/,
      (o) => {
        get(o, "Service", "s3").metadata.namespace = "default";
      },
    ],
  ]),
  ...faultsOf("references", "production", [
    [
      "a Secret that nobody makes",
      /^StatefulSet coordinator: there is no Secret api-key$/,
      (o) => {
        pod(o, "coordinator").volumes.find(
          (v: { name: string }) => v.name === "keys",
        ).secret.secretName = "api-key";
      },
    ],
    [
      "a ConfigMap by a name without its hash",
      /there is no ConfigMap node-settings$/,
      (o) => {
        main(o, "node-any").envFrom[0].configMapRef.name = "node-settings";
      },
    ],
    [
      "a ConfigMap that is mounted and not there",
      /^StatefulSet nats: there is no ConfigMap nats-config/,
      (o) => {
        remove(o, "ConfigMap", "nats-config");
      },
    ],
    [
      "a Service that is gone",
      /^StatefulSet node-decode: there is no Service node-decode$/,
      (o) => {
        remove(o, "Service", "node-decode");
      },
    ],
    [
      "a ServiceAccount that is gone",
      /^StatefulSet .*: there is no ServiceAccount renderfarm$/,
      (o) => {
        remove(o, "ServiceAccount", "renderfarm");
      },
    ],
    [
      "an Issuer that is gone",
      /: there is no Issuer renderfarm$/,
      (o) => {
        o.splice(
          o.findIndex((each) => each.kind === "Issuer" && each.metadata.name === "renderfarm"),
          1,
        );
      },
    ],
    [
      "a scraper's certificate of another name",
      /^PodMonitor renderfarm: there is no Secret scraper$/,
      (o) => {
        get(o, "PodMonitor", "renderfarm").spec.podMetricsEndpoints[0].tlsConfig.keySecret.name =
          "scraper";
      },
    ],
    [
      "a pool for KEDA that is not there",
      /^(ScaledObject node-denoise: there is no StatefulSet node-denoise|Service node-denoise: chooses no pod)$/,
      (o) => {
        remove(o, "StatefulSet", "node-denoise");
      },
    ],
    [
      "a policy for pods that there are not",
      /^NetworkPolicy nats: chooses no pod$/,
      (o) => {
        policy(o, "nats").podSelector.matchLabels = { "app.kubernetes.io/name": "natz" };
      },
    ],
    [
      "a service for pods that there are not",
      /^Service nats: chooses no pod$/,
      (o) => {
        get(o, "Service", "nats").spec.selector = { "app.kubernetes.io/name": "natz" };
      },
    ],
  ]),
  ...faultsOf("references", "local-cpu", [
    [
      "a claim that is gone",
      /^StatefulSet node-any: there is no PersistentVolumeClaim models$/,
      (o) => {
        remove(o, "PersistentVolumeClaim", "models");
      },
    ],
  ]),
  ...faultsOf("volumes", "nvidia-gpu", [
    [
      "a mount of no volume",
      /^StatefulSet coordinator: mounts no volume temp$/,
      (o) => {
        main(o, "coordinator").volumeMounts.push({ name: "temp", mountPath: "/temp" });
      },
    ],
    [
      "a volume that nobody mounts",
      /^StatefulSet nats: does not mount spare$/,
      (o) => {
        pod(o, "nats").volumes.push({ name: "spare", emptyDir: { sizeLimit: "1Mi" } });
      },
    ],
    [
      "a key file where nothing is mounted",
      /coordinator: RENDERFARM_API_KEYS names \/key\/keys\.json, where nothing/,
      (o) => {
        map(o, "coordinator-settings").RENDERFARM_API_KEYS = "/key/keys.json";
      },
    ],
    [
      "a root of trust in an address where nothing is mounted",
      /node: RENDERFARM_BUS names \/ca\/ca\.crt, where nothing/,
      (o) => {
        map(o, "node-settings").RENDERFARM_BUS += "&cert=/ca/ca.crt";
      },
    ],
  ]),
  ...faultsOf("settings", "nvidia-gpu", [
    [
      "a setting that is misspelt",
      /^StatefulSet node-.* node: does not read RENDERFARM_CHECKPIONT$/,
      (o) => {
        map(o, "node-settings").RENDERFARM_CHECKPIONT = "/models/checkpoint";
      },
    ],
    [
      "a setting of another program",
      /^StatefulSet coordinator coordinator: does not read RENDERFARM_PREFER$/,
      (o) => {
        map(o, "coordinator-settings").RENDERFARM_PREFER = "any";
      },
    ],
    [
      "a program that is not in the image",
      /^StatefulSet node-decode model: starts no program of ours$/,
      (o) => {
        pod(o, "node-decode").initContainers[0].command[1] = "dist/gpu-node/fetch.js";
      },
    ],
  ]),
];
