/** @file Every name that an object refers to is there, or is made by somebody who is documented. */
import { USAGE as COORDINATOR_USAGE } from "../../../coordinator/settings.js";
import { USAGE as NODE_USAGE } from "../../../gpu-node/agent/settings.js";
import { USAGE as FETCH_USAGE } from "../../../gpu-node/checkpoint/fetch-settings.js";
import {
  type Container,
  containersOf,
  environmentOf,
  type KubeObject,
  matches,
  nameOf,
  ofKind,
  podLabelsOf,
  workloadsOf,
} from "../overlays.js";

/** Made by scripts/cluster-secrets.mjs. */
export const MADE_BY_SCRIPT = [
  ...["coordinator-tls", "node-tls", "farm-ca", "api-keys", "metrics-client"],
  ...["s3-coordinator", "s3-node", "s3-signer", "s3-server", "s3-tls"],
  ...["nats-coordinator", "nats-node", "nats-users", "nats-tls"],
];
/** By the script, by who brings the checkpoint, and by who runs Kueue. */
const MADE_ELSEWHERE = [...MADE_BY_SCRIPT.map((n) => `Secret ${n}`), "ConfigMap model-manifest"];
/** What each program's help says that it reads. */
const READ_BY: Readonly<Record<string, string>> = {
  "dist/coordinator/main.js": COORDINATOR_USAGE,
  "dist/gpu-node/main.js": NODE_USAGE,
  "dist/gpu-node/fetch-checkpoint.js": FETCH_USAGE,
};

/** No two objects have one name, and all are in the farm's namespace. */
export function names(objects: readonly KubeObject[]): string[] {
  const all = objects.map(nameOf);
  return [
    ...all.filter((name, i) => all.indexOf(name) !== i).map((name) => `${name}: is there twice`),
    ...objects
      .filter(({ kind, metadata }) => kind !== "Namespace" && metadata.namespace !== "renderfarm")
      .map((object) => `${nameOf(object)}: is not in the farm's namespace`),
  ];
}

export function references(objects: readonly KubeObject[]): string[] {
  const made = ofKind(objects, "Certificate").map((c) => `Secret ${c["spec"].secretName}`);
  const known = new Set([...objects.map(nameOf), ...MADE_ELSEWHERE, ...made]);
  const referring = objects.map((object) => [nameOf(object), referencesOf(object)] as const);
  const dangling = referring.flatMap(([name, wanted]) =>
    wanted.filter((each) => !known.has(each)).map((each) => `${name}: there is no ${each}`),
  );
  const selecting = [
    ...ofKind(objects, "Service").map((o) => [o, o["spec"].selector] as const),
    ...ofKind(objects, "NetworkPolicy").map((o) => [o, o["spec"].podSelector.matchLabels] as const),
    ...ofKind(objects, "PodMonitor").map((o) => [o, o["spec"].selector.matchLabels] as const),
  ];
  const idle = selecting.filter(
    ([, selector]) => !workloadsOf(objects).some((w) => matches(selector, podLabelsOf(w))),
  );
  return [...dangling, ...idle.map(([object]) => `${nameOf(object)}: chooses no pod`)];
}

function referencesOf(object: KubeObject): string[] {
  const { kind, spec } = object;
  if (kind === "StatefulSet" || kind === "Deployment") return referencesOfPods(object);
  if (kind === "Certificate") return [`Issuer ${spec.issuerRef.name}`];
  if (kind === "Issuer") return spec.ca ? [`Secret ${spec.ca.secretName}`] : [];
  if (kind === "ScaledObject") return [`${spec.scaleTargetRef.kind} ${spec.scaleTargetRef.name}`];
  if (kind !== "PodMonitor") return [];
  return spec.podMetricsEndpoints.flatMap(
    ({
      tlsConfig,
    }: {
      tlsConfig: Record<string, { name?: string; secret?: { name: string } }>;
    }) => [`Secret ${tlsConfig["cert"]?.secret?.name}`, `Secret ${tlsConfig["keySecret"]?.name}`],
  );
}

function referencesOfPods(workload: KubeObject): string[] {
  const { spec } = workload["spec"].template;
  // biome-ignore lint/suspicious/noExplicitAny: volumes of many kinds
  const ofVolumes = (spec.volumes ?? []).flatMap((v: any) => [
    ...(v.secret ? [`Secret ${v.secret.secretName}`] : []),
    ...(v.configMap ? [`ConfigMap ${v.configMap.name}`] : []),
    ...(v.persistentVolumeClaim
      ? [`PersistentVolumeClaim ${v.persistentVolumeClaim.claimName}`]
      : []),
    ...(v.csi ? [`Issuer ${v.csi.volumeAttributes["csi.cert-manager.io/issuer-name"]}`] : []),
  ]);
  const ofContainers = containersOf(workload).flatMap((c) =>
    (c.envFrom ?? []).map((from) => `ConfigMap ${from.configMapRef.name}`),
  );
  const serviceName = `Service ${workload["spec"].serviceName}`;
  return [...ofVolumes, ...ofContainers, serviceName, `ServiceAccount ${spec.serviceAccountName}`];
}

/** Every volume that is mounted is there, every volume is mounted, and so is what settings name. */
export function volumes(objects: readonly KubeObject[]): string[] {
  return workloadsOf(objects).flatMap((workload) => {
    const { template, volumeClaimTemplates = [] } = workload["spec"];
    const there: string[] = [
      ...(template.spec.volumes ?? []).map((v: { name: string }) => v.name),
      ...volumeClaimTemplates.map((claim: KubeObject) => claim.metadata.name),
    ];
    const mounted = containersOf(workload).flatMap((c) => c.volumeMounts?.map((m) => m.name) ?? []);
    return [
      ...mounted.filter((name) => !there.includes(name)).map((name) => `mounts no volume ${name}`),
      ...there.filter((name) => !mounted.includes(name)).map((name) => `does not mount ${name}`),
      ...containersOf(workload).flatMap((c) => unmounted(c, objects)),
    ].map((problem) => `${nameOf(workload)}: ${problem}`);
  });
}

/** Paths in settings, also those within addresses ("?ca=/tls/ca.crt"), beneath no mount. */
function unmounted(container: Container, objects: readonly KubeObject[]): string[] {
  const mounts = container.volumeMounts?.map(({ mountPath }) => mountPath) ?? [];
  const isMounted = (path: string) =>
    mounts.some((mount) => path === mount || path.startsWith(`${mount}/`));
  return [...environmentOf(container, objects).values()].flatMap(({ name, value = "" }) =>
    [...value.matchAll(/(?:^|=)(\/[^&,]+)/g)]
      .map(([, path]) => path!)
      .filter((path) => !isMounted(path))
      .map((path) => `${container.name}: ${name} names ${path}, where nothing is mounted`),
  );
}

/** Our programs are started by a command that there is, with settings that they read. */
export function settings(objects: readonly KubeObject[]): string[] {
  return workloadsOf(objects).flatMap((workload) =>
    containersOf(workload)
      .filter(({ image }) => image.startsWith("renderfarm/"))
      .flatMap((container) => {
        const at = `${nameOf(workload)} ${container.name}`;
        const usage = READ_BY[container.command?.[1] ?? ""];
        if (usage === undefined) return [`${at}: starts no program of ours`];
        const read = new Set(usage.match(/RENDERFARM_[A-Z0-9_]+|LOG_LEVEL/g));
        return [...environmentOf(container, objects).keys()]
          .filter((name) => /^(RENDERFARM_|LOG_)/.test(name))
          .filter((name) => !read.has(name) && !read.has(name.replace(/_FILE$/, "")))
          .map((name) => `${at}: does not read ${name}`);
      }),
  );
}
