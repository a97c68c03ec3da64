/** @file What every pod of a farm keeps to: its images, its resources, its privileges, its probes. */
import {
  type Container,
  containersOf,
  type KubeObject,
  nameOf,
  ofKind,
  workloadsOf,
} from "../overlays.js";

const RESOURCES = ["cpu", "memory", "ephemeral-storage"] as const;
/** Volumes that the restricted profile allows and that we use. */
const VOLUME_KINDS = ["emptyDir", "secret", "configMap", "persistentVolumeClaim", "csi", "image"];
const UNITS: Readonly<Record<string, number>> = {
  ...{ m: 1e-3, "": 1, k: 1e3, M: 1e6, G: 1e9, Ki: 2 ** 10, Mi: 2 ** 20, Gi: 2 ** 30, Ti: 2 ** 40 },
};

const ofContainers = (
  objects: readonly KubeObject[],
  problemsOf: (container: Container, workload: KubeObject) => string[],
): string[] =>
  workloadsOf(objects).flatMap((workload) =>
    containersOf(workload).flatMap((container) =>
      problemsOf(container, workload).map((p) => `${nameOf(workload)} ${container.name}: ${p}`),
    ),
  );

/** A tag or a digest, and never the latest. */
export function images(objects: readonly KubeObject[]): string[] {
  return ofContainers(objects, ({ image }) => {
    if (/@sha256:[0-9a-f]{64}$/.test(image)) return [];
    const [, tag] = /:([^:/]+)$/.exec(image) ?? [];
    if (tag === undefined) return [`${image} has no tag`];
    return tag === "latest" ? [`${image} is whatever is the latest`] : [];
  });
}

/** Every container says what it needs at least and at most; a device is asked for whole. */
export function resources(objects: readonly KubeObject[]): string[] {
  return ofContainers(objects, ({ resources: own }) => {
    const { requests = {}, limits = {} } = own ?? {};
    const names = [...new Set([...RESOURCES, ...Object.keys(requests), ...Object.keys(limits)])];
    return names.flatMap((name) => {
      const [least, most] = [amountOf(requests[name]), amountOf(limits[name])];
      if (Number.isNaN(least)) return [`requests no ${name}`];
      if (Number.isNaN(most)) return [`has no limit of ${name}`];
      if (name.includes("/") && least !== most) return [`requests ${least} of ${most} ${name}`];
      return least > most ? [`requests more ${name} than its limit`] : [];
    });
  });
}

/** NaN for what is no quantity. */
function amountOf(quantity: unknown): number {
  const [, digits = "", unit = ""] = /^([0-9.]+)([a-zA-Z]*)$/.exec(String(quantity)) ?? [];
  return digits === "" ? Number.NaN : Number(digits) * (UNITS[unit] ?? Number.NaN);
}

/** @source Kubernetes, Pod Security Standards, "Restricted"; and a root file system that is read-only */
export function restricted(objects: readonly KubeObject[]): string[] {
  const namespaces = ofKind(objects, "Namespace").filter(
    ({ metadata }) => metadata.labels?.["pod-security.kubernetes.io/enforce"] !== "restricted",
  );
  return [
    ...namespaces.map((namespace) => `${nameOf(namespace)}: does not enforce the profile`),
    ...workloadsOf(objects).flatMap((workload) =>
      podProblems(workload["spec"].template.spec).map((p) => `${nameOf(workload)}: ${p}`),
    ),
    ...ofContainers(objects, containerProblems),
  ];
}

// biome-ignore lint/suspicious/noExplicitAny: a pod's spec, looked at by path
function podProblems(spec: any): string[] {
  const security = spec.securityContext ?? {};
  return [
    ...(security.runAsNonRoot === true ? [] : ["runAsNonRoot"]),
    ...(security.runAsUser !== 0 ? [] : ["runAsUser"]),
    ...(security.seccompProfile?.type === "RuntimeDefault" ? [] : ["seccompProfile"]),
    ...(spec.automountServiceAccountToken === false ? [] : ["automountServiceAccountToken"]),
    ...["hostNetwork", "hostPID", "hostIPC"].filter((name) => spec[name]),
    ...(spec.volumes ?? []).flatMap((volume: Record<string, { sizeLimit?: string }>) => {
      const kind = VOLUME_KINDS.find((each) => volume[each]);
      if (kind === undefined) return [`volume ${volume["name"]}`];
      const isBounded = kind !== "emptyDir" || volume[kind]?.sizeLimit !== undefined;
      return isBounded ? [] : [`volume ${volume["name"]} has no limit`];
    }),
  ];
}

function containerProblems({ securityContext: own = {}, ports = [] }: Container): string[] {
  return [
    ...(own.allowPrivilegeEscalation === false ? [] : ["allowPrivilegeEscalation"]),
    ...(own.readOnlyRootFilesystem === true ? [] : ["readOnlyRootFilesystem"]),
    ...(own.capabilities?.drop?.includes("ALL") && !own.capabilities.add ? [] : ["capabilities"]),
    ...(own.privileged ? ["privileged"] : []),
    ...(own.runAsUser === 0 || own.runAsNonRoot === false ? ["runAsUser"] : []),
    ...(ports.some((port) => "hostPort" in port) ? ["hostPort"] : []),
  ];
}

/** Whether a process lives goes by itself alone; whether it is sent work, by what it needs. */
export function probes(objects: readonly KubeObject[]): string[] {
  return workloadsOf(objects).flatMap((workload) =>
    workload["spec"].template.spec.containers.flatMap((container: Container) => {
      const at = `${nameOf(workload)} ${container.name}`;
      const missing = ["startupProbe", "readinessProbe", "livenessProbe"].filter(
        (probe) => !container[probe],
      );
      const isReadiness = container["livenessProbe"]?.httpGet?.path.startsWith("/readyz");
      return [
        ...missing.map((probe) => `${at}: has no ${probe}`),
        ...(isReadiness ? [`${at}: is ended where it is only not ready`] : []),
      ];
    }),
  );
}
