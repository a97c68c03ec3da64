/** @file Faults of pods and their containers. */
import { type Fault, faultsOf, get, main, map, pod } from "./fault.js";

export const OF_PODS: Fault[] = [
  ...faultsOf("images", "production", [
    [
      "an image without a tag",
      /^StatefulSet nats nats: nats has no tag$/,
      (o) => {
        main(o, "nats").image = "nats";
      },
    ],
    [
      "an image of a registry with a port, and without a tag",
      /registry:5000\/nats has no tag$/,
      (o) => {
        main(o, "nats").image = "registry:5000/nats";
      },
    ],
    [
      "the latest image, before a node starts",
      /^StatefulSet node-any model: .* is whatever is the latest$/,
      (o) => {
        pod(o, "node-any").initContainers[0].image = "renderfarm/gpu-node-cuda:latest";
      },
    ],
  ]),
  ...faultsOf("resources", "nvidia-gpu", [
    [
      "no limit of memory",
      /^StatefulSet s3 s3: has no limit of memory$/,
      (o) => {
        delete main(o, "s3").resources.limits.memory;
      },
    ],
    [
      "no request of a processor",
      /^StatefulSet node-decode model: requests no cpu$/,
      (o) => {
        delete pod(o, "node-decode").initContainers[0].resources.requests.cpu;
      },
    ],
    [
      "no resources at all",
      /^StatefulSet coordinator coordinator: requests no/,
      (o) => {
        delete main(o, "coordinator").resources;
      },
    ],
    [
      "a request above its limit",
      /^StatefulSet nats nats: requests more memory than its limit$/,
      (o) => {
        main(o, "nats").resources.requests.memory = "2Gi";
      },
    ],
    [
      "a GPU that is asked for and not bounded",
      /node: has no limit of nvidia\.com\/gpu$/,
      (o) => {
        delete main(o, "node-denoise").resources.limits["nvidia.com/gpu"];
      },
    ],
    [
      "one of two GPUs",
      /node: requests 1 of 2 nvidia\.com\/gpu$/,
      (o) => {
        main(o, "node-denoise").resources.limits["nvidia.com/gpu"] = 2;
      },
    ],
  ]),
  ...faultsOf("restricted", "nvidia-gpu", [
    [
      "a namespace that enforces less",
      /^Namespace renderfarm: does not enforce/,
      (o) => {
        get(o, "Namespace", "renderfarm").metadata.labels["pod-security.kubernetes.io/enforce"] =
          "baseline";
      },
    ],
    [
      "a pod that may run as root",
      /^StatefulSet nats: runAsNonRoot$/,
      (o) => {
        delete pod(o, "nats").securityContext.runAsNonRoot;
      },
    ],
    [
      "a pod that does run as root",
      /^StatefulSet nats: runAsUser$/,
      (o) => {
        pod(o, "nats").securityContext.runAsUser = 0;
      },
    ],
    [
      "a pod without a seccomp profile",
      /^StatefulSet s3: seccompProfile$/,
      (o) => {
        pod(o, "s3").securityContext.seccompProfile.type = "Unconfined";
      },
    ],
    [
      "a pod with a token of the cluster",
      /^StatefulSet s3: automountServiceAccountToken$/,
      (o) => {
        delete pod(o, "s3").automountServiceAccountToken;
      },
    ],
    [
      "a pod in the host's network",
      /^StatefulSet nats: hostNetwork$/,
      (o) => {
        pod(o, "nats").hostNetwork = true;
      },
    ],
    [
      "a folder of the host",
      /^StatefulSet node-decode: volume host$/,
      (o) => {
        pod(o, "node-decode").volumes.push({ name: "host", hostPath: { path: "/" } });
      },
    ],
    [
      "a temporary folder without a limit",
      /^StatefulSet coordinator: volume tmp has no limit$/,
      (o) => {
        delete pod(o, "coordinator").volumes.find((v: { name: string }) => v.name === "tmp")
          .emptyDir.sizeLimit;
      },
    ],
    [
      "a container that may gain privileges",
      /^StatefulSet nats nats: allowPrivilegeEscalation$/,
      (o) => {
        delete main(o, "nats").securityContext.allowPrivilegeEscalation;
      },
    ],
    [
      "a root file system that can be written, before a node starts",
      /^StatefulSet node-decode model: readOnlyRootFilesystem$/,
      (o) => {
        pod(o, "node-decode").initContainers[0].securityContext.readOnlyRootFilesystem = false;
      },
    ],
    [
      "a capability that is added",
      /^StatefulSet s3 s3: capabilities$/,
      (o) => {
        main(o, "s3").securityContext.capabilities.add = ["NET_BIND_SERVICE"];
      },
    ],
    [
      "capabilities that are kept",
      /^StatefulSet s3 s3: capabilities$/,
      (o) => {
        main(o, "s3").securityContext.capabilities.drop = ["NET_RAW"];
      },
    ],
    [
      "a container that is privileged",
      /^StatefulSet s3 s3: privileged$/,
      (o) => {
        main(o, "s3").securityContext.privileged = true;
      },
    ],
    [
      "a container that runs as root",
      /^StatefulSet s3 s3: runAsUser$/,
      (o) => {
        main(o, "s3").securityContext.runAsUser = 0;
      },
    ],
    [
      "a port of the host",
      /^StatefulSet coordinator coordinator: hostPort$/,
      (o) => {
        main(o, "coordinator").ports[0].hostPort = 7433;
      },
    ],
  ]),
  ...faultsOf("probes", "nvidia-gpu", [
    [
      "a container that nobody asks whether it lives",
      /^StatefulSet nats nats: has no livenessProbe$/,
      (o) => {
        delete main(o, "nats").livenessProbe;
      },
    ],
    [
      "a node that is ended for what it waits for",
      /^StatefulSet node-decode node: is ended where/,
      (o) => {
        main(o, "node-decode").livenessProbe.httpGet.path = "/readyz?verbose";
      },
    ],
  ]),
  ...faultsOf("secrets", "nvidia-gpu", [
    [
      "a Secret in the tree",
      /^Secret s3-node: is in the tree$/,
      (o) => {
        o.push({ apiVersion: "v1", kind: "Secret", metadata: { name: "s3-node" } });
      },
    ],
    [
      "a key in a ConfigMap",
      /coordinator: RENDERFARM_S3_SECRET_KEY is in the open$/,
      (o) => {
        map(o, "coordinator-settings").RENDERFARM_S3_SECRET_KEY = "x";
      },
    ],
    [
      "a token in the environment",
      /^StatefulSet nats nats: NATS_TOKEN is in the open$/,
      (o) => {
        main(o, "nats").env.push({ name: "NATS_TOKEN", value: "x" });
      },
    ],
    [
      "a private key in a file",
      /^ConfigMap nats-config-\S+: holds what looks like a key$/,
      (o) => {
        map(o, "nats-config")["tls.key"] = "-----BEGIN EC PRIVATE KEY-----\nMHc\n";
      },
    ],
    [
      "a seed of NATS in an argument",
      /^StatefulSet nats: holds what looks like a key$/,
      (o) => {
        main(o, "nats").args.push(`SU${"A".repeat(56)}`);
      },
    ],
  ]),
];
