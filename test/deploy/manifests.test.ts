/** Every overlay is built, checked against the schemas of Kubernetes, and held to our own rules. */
import { createRequire } from "node:module";
import { describe, expect, test } from "vitest";
import { USAGE as COORDINATOR_USAGE } from "../../coordinator/settings.js";
import { USAGE as NODE_USAGE } from "../../gpu-node/agent/settings.js";
import { USAGE as FETCH_USAGE } from "../../gpu-node/checkpoint/fetch-settings.js";
import {
  containersOf,
  environmentOf,
  type KubeObject,
  nameOf,
  OVERLAYS,
  ofKind,
  renderOverlays,
} from "./overlays.js";

const load = createRequire(import.meta.url);
/** Made by scripts/cluster-secrets.mjs, cert-manager, or whoever brings the checkpoint. */
const MADE_ELSEWHERE = new Set(
  [
    ...["coordinator-tls", "node-tls", "farm-ca", "api-keys", "metrics-client"],
    ...["s3-coordinator", "s3-node", "s3-server", "s3-tls"],
    ...["nats-coordinator", "nats-node", "nats-users", "nats-tls"],
  ].map((name) => `Secret ${name}`),
).add("ConfigMap model-manifest");
/** What each program's help says that it reads. */
const READ_BY: Readonly<Record<string, string>> = {
  "dist/coordinator/main.js": COORDINATOR_USAGE,
  "dist/gpu-node/main.js": NODE_USAGE,
  "dist/gpu-node/fetch-checkpoint.js": FETCH_USAGE,
};

const rendered = await renderOverlays();

describe.skipIf(rendered === null).each([...OVERLAYS])("overlay %s", (overlay) => {
  const objects = rendered?.get(overlay) ?? [];
  const workloads = objects.filter((o) => o.kind === "StatefulSet" || o.kind === "Deployment");
  const containers = workloads.flatMap((w) => containersOf(w).map((c) => [nameOf(w), c] as const));

  test("every object is what the schemas of its kind allow", () => {
    expect(objects.length).toBeGreaterThan(15);
    expect(objects.flatMap((object) => problemsOf(object))).toEqual([]);
  });

  test("no two objects have one name, and all are in the farm's namespace", () => {
    const names = objects.map(nameOf);
    expect(names.filter((name, i) => names.indexOf(name) !== i)).toEqual([]);
    const outside = objects.filter((o) => o.metadata.namespace !== "renderfarm");
    expect(outside.map(nameOf)).toEqual(["Namespace renderfarm"]);
  });

  test("every image has a tag or a digest, and none is the latest", () => {
    const loose = containers.filter(
      ([, { image }]) => !/(:[^:/]+|@sha256:[0-9a-f]{64})$/.test(image),
    );
    expect(loose.map(([name, { image }]) => `${name}: ${image}`)).toEqual([]);
    expect(containers.filter(([, { image }]) => image.endsWith(":latest"))).toEqual([]);
  });

  test("every container says what it needs at least and at most", () => {
    for (const [name, { resources }] of containers) {
      for (const what of ["cpu", "memory", "ephemeral-storage"]) {
        expect(resources?.requests?.[what], `${name} requests ${what}`).toBeDefined();
        expect(resources?.limits?.[what], `${name} limits ${what}`).toBeDefined();
      }
    }
  });

  test("every pod is fit for the restricted profile", () => {
    expect(workloads.flatMap((workload) => unrestricted(workload))).toEqual([]);
    const [namespace] = ofKind(objects, "Namespace");
    const enforced = namespace?.metadata.labels?.["pod-security.kubernetes.io/enforce"];
    expect(enforced).toBe("restricted");
  });

  test("no secret is in the tree", () => {
    expect(ofKind(objects, "Secret")).toEqual([]);
    const texts = containers.flatMap(([name, c]) =>
      [...environmentOf(c, objects).values()].map((v) => `${name} ${v.name}=${v.value}`),
    );
    expect(texts.filter((t) => /(SECRET_KEY|SEED|TOKEN|PASSWORD)=/.test(t))).toEqual([]);
  });

  test("every name that an object refers to is there, or is made by a script that is documented", () => {
    const known = new Set([...objects.map(nameOf), ...MADE_ELSEWHERE]);
    for (const c of ofKind(objects, "Certificate")) known.add(`Secret ${c["spec"].secretName}`);
    expect(workloads.flatMap((w) => referencesOf(w)).filter((name) => !known.has(name))).toEqual(
      [],
    );
    for (const scaled of ofKind(objects, "ScaledObject")) {
      expect(known).toContain(`StatefulSet ${scaled["spec"].scaleTargetRef.name}`);
    }
  });

  test("every volume that is mounted is there, and every volume is mounted", () => {
    for (const workload of workloads) {
      const { template, volumeClaimTemplates = [] } = workload["spec"];
      const volumes = [...(template.spec.volumes ?? []), ...volumeClaimTemplates].map(
        (v: { name?: string; metadata?: { name: string } }) => v.name ?? v.metadata?.name,
      );
      const mounted = containersOf(workload).flatMap((c) => c.volumeMounts?.map((m) => m.name));
      expect(new Set(mounted), nameOf(workload)).toEqual(new Set(volumes));
    }
  });

  test("our programs are started with settings that they read", () => {
    const ours = containers.filter(([, { image }]) => image.startsWith("renderfarm/"));
    expect(ours.length).toBeGreaterThan(1);
    for (const [name, container] of ours) {
      const usage = READ_BY[container.command?.[1] ?? ""] ?? "";
      const read = new Set(usage.match(/RENDERFARM_[A-Z0-9_]+|LOG_LEVEL/g));
      const given = [...environmentOf(container, objects).keys()].map((v) =>
        v.replace(/_FILE$/, ""),
      );
      const unread = given.filter((v) => /^(RENDERFARM_|LOG_)/.test(v) && !read.has(v));
      expect(unread, name).toEqual([]);
    }
  });

  test("services, probes and policies name ports that somebody listens on", () => {
    for (const [name, c] of containers) {
      const ports = new Set<string | number>(c.ports?.map((p) => p.name));
      for (const kind of ["startupProbe", "readinessProbe", "livenessProbe"]) {
        const port = c[kind]?.httpGet?.port ?? c[kind]?.tcpSocket?.port;
        if (port !== undefined) expect(ports, `${name} ${kind}`).toContain(port);
      }
      for (const { name: port, containerPort } of c.ports ?? []) {
        expect(listensOn(c, objects), `${name} ${port}`).toContain(containerPort);
      }
    }
    for (const service of ofKind(objects, "Service")) {
      const ports = workloads
        .filter((w) => matches(service["spec"].selector, w["spec"].template.metadata.labels))
        .flatMap((w) => containersOf(w).flatMap((c) => c.ports?.map((p) => p.name)));
      const targets = service["spec"].ports.map((p: { targetPort: string }) => p.targetPort);
      expect(ports, nameOf(service)).toEqual(expect.arrayContaining(targets));
    }
  });

  test("nothing may talk to anything by default, and every pod has who may talk to it", () => {
    const policies = ofKind(objects, "NetworkPolicy");
    const denying = policies.find((p) => p.metadata.name === "default-deny");
    expect(denying?.["spec"]).toEqual({ podSelector: {}, policyTypes: ["Ingress", "Egress"] });
    for (const w of workloads) {
      const { labels } = w["spec"].template.metadata;
      const own = policies.filter(
        (p) => p !== denying && matches(p["spec"].podSelector.matchLabels ?? {}, labels),
      );
      expect(
        own.some((p) => p["spec"].ingress),
        `${nameOf(w)} ingress`,
      ).toBe(true);
    }
  });

  test("what may be evicted at once is bounded for every pool and for the coordinator", () => {
    const budgets = ofKind(objects, "PodDisruptionBudget");
    for (const w of workloads.filter((each) => each.metadata.name !== "s3")) {
      const { labels } = w["spec"].template.metadata;
      const own = budgets.filter((b) => matches(b["spec"].selector.matchLabels, labels));
      expect(own.map(nameOf), nameOf(w)).toEqual([`PodDisruptionBudget ${w.metadata.name}`]);
    }
  });

  test("a node has time to drain before it is killed", () => {
    const nodes = workloads.filter((w) => w.metadata.name.startsWith("node-"));
    expect(nodes.length).toBeGreaterThan(0);
    for (const { spec } of nodes.map((w) => w["spec"].template)) {
      expect(spec.terminationGracePeriodSeconds).toBeGreaterThan(30);
    }
  });
});

describe.skipIf(rendered === null)("the checks themselves", () => {
  const objects = rendered?.get("production") ?? [];
  const brokenKinds: [kind: string, spec: Record<string, unknown>][] = [
    ["StatefulSet", { replicas: "two" }],
    ["NetworkPolicy", { podSelector: 1 }],
    ["ScaledObject", { triggers: "none" }],
    ["PodMonitor", { podMetricsEndpoints: 3 }],
    ["Certificate", { dnsNames: "one" }],
  ];
  test.each(brokenKinds)("find a %s with a field of another type", (kind, change) => {
    const [object] = ofKind(objects, kind);
    const broken = { ...object!, spec: { ...object!["spec"], ...change } };
    expect(problemsOf(broken)).toHaveLength(1);
  });

  test("find a pod that is not restricted", () => {
    const [workload] = structuredClone(ofKind(objects, "StatefulSet"));
    workload!["spec"].template.spec.containers[0].securityContext.allowPrivilegeEscalation = true;
    workload!["spec"].template.spec.volumes.push({ name: "x", hostPath: { path: "/" } });
    expect(unrestricted(workload!)).toHaveLength(2);
  });
});

describe("GPUs", () => {
  test.skipIf(rendered === null).each(["nvidia-gpu", "production"] as const)(
    "%s asks for one a node",
    (o) => {
      const pools = ofKind(rendered?.get(o) ?? [], "StatefulSet").filter((w) =>
        w.metadata.name.startsWith("node-"),
      );
      for (const pool of pools) {
        const { resources, image } = containersOf(pool).find((c) => c.name === "node")!;
        expect(resources.limits["nvidia.com/gpu"]).toBe(1);
        expect(resources.requests["nvidia.com/gpu"]).toBe(1);
        expect(image).toMatch(/^renderfarm\/gpu-node-cuda:/);
      }
    },
  );
});

/** The schema's word on an object of any kind that an overlay may have. */
function problemsOf(object: KubeObject): string[] {
  const { apiVersion, kind } = object;
  const [group = "", version = ""] = apiVersion.includes("/")
    ? apiVersion.split("/")
    : ["", apiVersion];
  const packageOf: Readonly<Record<string, string>> = {
    "keda.sh": "@kubernetes-models/keda",
    "monitoring.coreos.com": "@kubernetes-models/prometheus-operator",
    "cert-manager.io": "@kubernetes-models/cert-manager",
  };
  const folder = group === "" ? version : `${group}/${version}`;
  const from = packageOf[group] ?? "kubernetes-models";
  const models = load(`${from}/${folder}`) as Record<string, new (data: KubeObject) => Model>;
  const Kind = models[kind];
  if (!Kind) return [`${nameOf(object)}: ${apiVersion} has no such kind`];
  try {
    new Kind(object).validate();
    return [];
  } catch (error) {
    return [`${nameOf(object)}: ${(error as Error).message}`];
  }
}

interface Model {
  validate(): void;
}

/** @source Kubernetes, Pod Security Standards, "Restricted" */
function unrestricted(workload: KubeObject): string[] {
  const { spec } = workload["spec"].template;
  const found: string[] = [];
  const want = (isSo: boolean, what: string) => {
    if (!isSo) found.push(`${nameOf(workload)}: ${what}`);
  };
  want(spec.securityContext?.runAsNonRoot === true, "runAsNonRoot");
  want(spec.securityContext?.seccompProfile?.type === "RuntimeDefault", "seccompProfile");
  want(spec.automountServiceAccountToken === false, "automountServiceAccountToken");
  want(!spec.hostNetwork && !spec.hostPID && !spec.hostIPC, "a namespace of the host");
  const kinds = ["emptyDir", "secret", "configMap", "persistentVolumeClaim", "csi", "image"];
  for (const volume of spec.volumes ?? []) {
    want(
      kinds.some((kind) => volume[kind] !== undefined),
      `volume ${volume.name}`,
    );
    if (volume.emptyDir) want(volume.emptyDir.sizeLimit !== undefined, `limit of ${volume.name}`);
  }
  for (const { name, securityContext: own, ports } of containersOf(workload)) {
    want(own?.allowPrivilegeEscalation === false, `${name} allowPrivilegeEscalation`);
    want(own?.readOnlyRootFilesystem === true, `${name} readOnlyRootFilesystem`);
    want(own?.capabilities?.drop?.includes("ALL") && !own.capabilities.add, `${name} capabilities`);
    want(!own?.privileged && own?.runAsUser !== 0, `${name} privileges`);
    want(!(ports ?? []).some((p) => "hostPort" in p), `${name} hostPort`);
  }
  return found;
}

function referencesOf(workload: KubeObject): string[] {
  const { spec } = workload["spec"].template;
  // biome-ignore lint/suspicious/noExplicitAny: volumes of many kinds
  const ofVolumes = (spec.volumes ?? []).flatMap((v: any) => [
    ...(v.secret ? [`Secret ${v.secret.secretName}`] : []),
    ...(v.configMap ? [`ConfigMap ${v.configMap.name}`] : []),
    ...(v.persistentVolumeClaim
      ? [`PersistentVolumeClaim ${v.persistentVolumeClaim.claimName}`]
      : []),
  ]);
  const ofContainers = containersOf(workload).flatMap((c) =>
    (c.envFrom ?? []).map((from) => `ConfigMap ${from.configMapRef.name}`),
  );
  const serviceName = `Service ${workload["spec"].serviceName}`;
  return [...ofVolumes, ...ofContainers, serviceName, `ServiceAccount ${spec.serviceAccountName}`];
}

/** Ports that a container's own settings say, wherever they are said. */
function listensOn(
  container: Parameters<typeof environmentOf>[0],
  objects: KubeObject[],
): number[] {
  const settings = [...environmentOf(container, objects).values()].map((v) => v.value ?? "");
  const configs = ofKind(objects, "ConfigMap").flatMap((m) => Object.values<string>(m["data"]));
  const natsConf = container.name === "nats" ? configs : [];
  const clusterPort = container.name === "nats" ? ["0.0.0.0:6222"] : [];
  const texts = [...settings, ...(container.args ?? []), ...natsConf, ...clusterPort];
  return texts.flatMap((text) =>
    [...text.matchAll(/(?:0\.0\.0\.0:|port=)(\d+)/g)].map((m) => Number(m[1])),
  );
}

function matches(selector: Record<string, string>, labels: Record<string, string>): boolean {
  return Object.entries(selector).every(([name, value]) => labels[name] === value);
}
