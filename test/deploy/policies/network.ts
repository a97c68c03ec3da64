/** @file Who listens where, who dials whom, and who is let through. */
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

const DOMAIN = "renderfarm.svc.cluster.local";
type Labels = Readonly<Record<string, string>>;
interface Peer {
  readonly podSelector?: { readonly matchLabels?: Labels };
  readonly namespaceSelector?: { readonly matchLabels?: Labels };
  readonly ipBlock?: object;
}
type Direction = "ingress" | "egress";

/** Probes, services, policies and scrapes name ports that a program's own settings say it listens on. */
export function ports(objects: readonly KubeObject[]): string[] {
  const workloads = workloadsOf(objects);
  const problems: string[] = [];
  for (const workload of workloads) {
    for (const c of containersOf(workload)) {
      const at = `${nameOf(workload)} ${c.name}`;
      const named = c.ports?.map(({ name }) => name) ?? [];
      for (const probe of ["startupProbe", "readinessProbe", "livenessProbe"]) {
        const port = c[probe]?.httpGet?.port ?? c[probe]?.tcpSocket?.port;
        if (port !== undefined && !named.includes(port))
          problems.push(`${at}: ${probe} on ${port}`);
      }
      for (const { name, containerPort } of c.ports ?? []) {
        const isHeard = listensOn(c, objects).includes(containerPort);
        if (!isHeard) problems.push(`${at}: nothing listens on ${name} ${containerPort}`);
      }
    }
  }
  const wanted: [KubeObject, Labels | undefined, (string | number)[]][] = [
    ...ofKind(objects, "Service").map((o): (typeof wanted)[number] => [
      ...([o, o["spec"].selector] as const),
      o["spec"].ports.map((p: { targetPort: string }) => p.targetPort),
    ]),
    ...ofKind(objects, "PodMonitor").map((o): (typeof wanted)[number] => [
      ...([o, o["spec"].selector.matchLabels] as const),
      o["spec"].podMetricsEndpoints.map((p: { port: string }) => p.port),
    ]),
    ...ofKind(objects, "NetworkPolicy").map((o): (typeof wanted)[number] => [
      ...([o, o["spec"].podSelector.matchLabels] as const),
      (o["spec"].ingress ?? []).flatMap((rule: { ports?: { port: number }[] }) =>
        (rule.ports ?? []).map(({ port }) => port),
      ),
    ]),
  ];
  for (const [object, selector, asked] of wanted) {
    const chosen = workloads.filter((w) => matches(selector, podLabelsOf(w)));
    for (const port of asked) {
      const isThere = chosen.every((w) => portOf(w, port) !== undefined);
      if (!isThere) problems.push(`${nameOf(object)}: not every pod of it has port ${port}`);
    }
  }
  return problems;
}

/** Ports that a container's own settings say, wherever they are said. */
function listensOn(container: Container, objects: readonly KubeObject[]): number[] {
  const settings = [...environmentOf(container, objects).values()].map((v) => v.value ?? "");
  const configs = ofKind(objects, "ConfigMap").flatMap((m) => Object.values<string>(m["data"]));
  const natsConf = container.name === "nats" ? configs : [];
  // One server has no cluster, and its port for it stays silent.
  const clusterPort = container.name === "nats" ? ["0.0.0.0:6222"] : [];
  const texts = [...settings, ...(container.args ?? []), ...natsConf, ...clusterPort];
  return texts.flatMap((text) =>
    [...text.matchAll(/(?:0\.0\.0\.0:|port=)(\d+)/g)].map((m) => Number(m[1])),
  );
}

/** The number of a port that a workload's pods have, by its name or number. */
function portOf(workload: KubeObject, port: string | number): number | undefined {
  return containersOf(workload)
    .flatMap((c) => c.ports ?? [])
    .find(({ name, containerPort }) => name === port || containerPort === port)?.containerPort;
}

/** Nothing may talk to anything by default, and no rule is for everybody. */
export function defaultDeny(objects: readonly KubeObject[]): string[] {
  const policies = ofKind(objects, "NetworkPolicy");
  const isDenied = policies.some(
    ({ spec }) =>
      Object.keys(spec.podSelector).length === 0 &&
      ["Ingress", "Egress"].every((type) => spec.policyTypes.includes(type)) &&
      !spec.ingress &&
      !spec.egress,
  );
  const isOpen = ({ spec }: KubeObject) =>
    [
      ...(spec.ingress ?? []).map((r: { from?: Peer[] }) => r.from),
      ...(spec.egress ?? []).map((r: { to?: Peer[] }) => r.to),
    ].some((peers?: Peer[]) => !peers?.length || peers.some((p) => Object.keys(p).length === 0)) ||
    [...(spec.ingress ?? []), ...(spec.egress ?? [])].some((r) => !r.ports?.length);
  return [
    ...(isDenied ? [] : ["no policy denies what no other one allows"]),
    ...policies.filter(isOpen).map((policy) => `${nameOf(policy)}: has a rule for everybody`),
  ];
}

/** Whoever a setting dials is there, is let out, and is let in. */
export function reach(objects: readonly KubeObject[]): string[] {
  const policies = ofKind(objects, "NetworkPolicy");
  return workloadsOf(objects).flatMap((from) => {
    const problems = dialledBy(from, objects).flatMap(([host, port]) =>
      reachProblems(objects, policies, from, host, port),
    );
    const dns = { namespaceSelector: { "kubernetes.io/metadata.name": "kube-system" } };
    if (!allows(policies, "egress", podLabelsOf(from), 53, dns)) problems.push("may ask no DNS");
    return problems.map((problem) => `${nameOf(from)}: ${problem}`);
  });
}

function reachProblems(
  objects: readonly KubeObject[],
  policies: readonly KubeObject[],
  from: KubeObject,
  host: string,
  port: number,
): string[] {
  const at = `${host}:${port}`;
  if (!host.endsWith(DOMAIN)) {
    const isLetOut = allows(policies, "egress", podLabelsOf(from), port, { ipBlock: {} });
    return isLetOut ? [] : [`is not let out to ${at}`];
  }
  const [service = "", pod] = host
    .slice(0, -DOMAIN.length - 1)
    .split(".")
    .reverse();
  const found = ofKind(objects, "Service").find(({ metadata }) => metadata.name === service);
  const offered = found?.["spec"].ports.find((p: { port: number }) => p.port === port);
  if (!found || !offered) return [`dials ${at}, and there is no such service`];
  const targets = workloadsOf(objects).filter((w) =>
    matches(found["spec"].selector, podLabelsOf(w)),
  );
  if (pod !== undefined && !targets.some((w) => podsOf(w).includes(pod))) {
    return [`dials ${at}, and there is no such pod`];
  }
  return targets.flatMap((to) => {
    const number = portOf(to, offered.targetPort) ?? 0;
    const [source, target] = [podLabelsOf(from), podLabelsOf(to)];
    return [
      ...(allows(policies, "egress", source, number, { podSelector: target })
        ? []
        : [`is not let out to ${at}`]),
      ...(allows(policies, "ingress", target, number, { podSelector: source })
        ? []
        : [`is not let in at ${at}`]),
    ];
  });
}

function podsOf({ metadata, spec }: KubeObject): string[] {
  return Array.from({ length: spec.replicas ?? 1 }, (_, i) => `${metadata.name}-${i}`);
}

/** Hosts and ports in the settings and the mounted files of a workload's containers. */
function dialledBy(workload: KubeObject, objects: readonly KubeObject[]): [string, number][] {
  const files = (workload["spec"].template.spec.volumes ?? []).flatMap(
    (v: { configMap?: { name: string } }) => {
      const map = ofKind(objects, "ConfigMap").find((o) => o.metadata.name === v.configMap?.name);
      return Object.values<string>(map?.["data"] ?? {});
    },
  );
  const values = containersOf(workload).flatMap((c) =>
    [...environmentOf(c, objects).values()].map((v) => v.value ?? ""),
  );
  const dialled = [...values, ...files].flatMap((text) =>
    [...text.matchAll(/(https?:\/\/|\b)([a-z0-9.-]+\.[a-z]{3,})(?::(\d+))?(?=[/,&?\s]|$)/g)]
      .filter(([, scheme, , port]) => scheme !== "" || port !== undefined)
      .map(([, , host, port]): [string, number] => [host!, Number(port ?? 443)]),
  );
  return [...new Map(dialled.map((each) => [each.join(":"), each])).values()];
}

/** Whether a policy for the pods with these labels lets this peer through. */
function allows(
  policies: readonly KubeObject[],
  direction: Direction,
  labels: Labels,
  port: number,
  peer: { podSelector?: Labels; namespaceSelector?: Labels; ipBlock?: object },
): boolean {
  return policies
    .filter(({ spec }) => matches(spec.podSelector.matchLabels, labels))
    .flatMap(({ spec }) => spec[direction] ?? [])
    .some((rule: { from?: Peer[]; to?: Peer[]; ports?: { port: number }[] }) => {
      const peers = (direction === "ingress" ? rule.from : rule.to) ?? [];
      const isPeer = peers.some((each) => {
        if (peer.ipBlock) return each.ipBlock !== undefined;
        if (peer.namespaceSelector) {
          return (
            each.namespaceSelector !== undefined &&
            matches(each.namespaceSelector.matchLabels, peer.namespaceSelector)
          );
        }
        return (
          each.podSelector !== undefined &&
          !each.namespaceSelector &&
          matches(each.podSelector.matchLabels, peer.podSelector)
        );
      });
      return isPeer && (rule.ports ?? []).some((each) => each.port === port);
    });
}

/** Namespaces with the documented labels reach the API and the metrics, and no other port. */
export function doors(objects: readonly KubeObject[]): string[] {
  const policies = ofKind(objects, "NetworkPolicy");
  return workloadsOf(objects).flatMap((workload) => {
    const open = (label: string) =>
      containersOf(workload)
        .flatMap((c) => c.ports ?? [])
        .filter(({ containerPort }) =>
          allows(policies, "ingress", podLabelsOf(workload), containerPort, {
            namespaceSelector: { [label]: "true" },
          }),
        )
        .map(({ name }) => name);
    const isOurs = matches({ "app.kubernetes.io/name": "renderfarm" }, podLabelsOf(workload));
    const wanted: [label: string, ports: string][] = [
      ["renderfarm/clients", workload.metadata.name === "coordinator" ? "grpc" : ""],
      ["renderfarm/metrics", isOurs ? "metrics" : ""],
    ];
    return wanted
      .map(([label, port]) => [label, port, open(label).join(", ")] as const)
      .filter(([, port, found]) => found !== port)
      .map(
        ([label, port, found]) => `${nameOf(workload)}: ${label} opens "${found}", not "${port}"`,
      );
  });
}

/** Nodes know every coordinator, and a journal has no more copies than there are servers. */
export function members(objects: readonly KubeObject[]): string[] {
  const find = (name: string) =>
    workloadsOf(objects).find(({ metadata }) => metadata.name === name);
  const coordinators = find("coordinator");
  const expected = coordinators ? podsOf(coordinators) : [];
  return workloadsOf(objects).flatMap((workload) =>
    workload["spec"].template.spec.containers.flatMap((container: Container) => {
      const env = environmentOf(container, objects);
      const dialled = env.get("RENDERFARM_COORDINATOR")?.value;
      const named = dialled?.split(",").map((address) => address.split(".")[0]!);
      const isAll = !named || named.join() === expected.join();
      const [, copies = "1"] =
        /[?&]replicas=(\d+)/.exec(env.get("RENDERFARM_JOURNAL")?.value ?? "") ?? [];
      const servers = find("nats")?.["spec"].replicas ?? 1;
      return [
        ...(isAll ? [] : [`${nameOf(workload)}: knows ${named} of ${expected}`]),
        ...(Number(copies) > servers
          ? [`${nameOf(workload)}: wants ${copies} copies of ${servers} servers`]
          : []),
      ];
    }),
  );
}
