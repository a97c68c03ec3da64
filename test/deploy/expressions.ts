/** @file What an expression of Prometheus asks for, held against what processes tell. */

export interface Metric {
  /** As in "# TYPE". */
  readonly type: string;
  /** Names of the labels of its samples; null where there is no sample to tell. */
  readonly labels: ReadonlySet<string> | null;
}

/** Every scrape has them, and le is the bucket's. */
const LABELS_OF_ALL = new Set(["instance", "job", "le"]);
const OURS = "(?:renderfarm|renderfarms|grpc_server|grpc_servers|process)[a-z_0-9:]+";

/** The metrics of a scrape, by name. */
export function metricsOf(text: string): Map<string, Metric> {
  const metrics = new Map<string, Metric>();
  for (const [, name = "", type = ""] of text.matchAll(/^# TYPE (\S+) (\S+)$/gm)) {
    const samples = [
      ...text.matchAll(new RegExp(`^${name}(?:_bucket|_sum|_count)?(?:{(.*)})? \\S+$`, "gm")),
    ];
    const labels = samples.flatMap(([, inner = ""]) =>
      [...inner.matchAll(/([a-z_]+)="/g)].map(([, label]) => label!),
    );
    metrics.set(name, { type, labels: samples.length > 0 ? new Set(labels) : null });
  }
  return metrics;
}

/** Names of metrics in a dashboard, the rules or the manifests, each once. */
export function metricsAskedFor(expr: string): string[] {
  return [...new Set(expr.match(new RegExp(`\\b${OURS}`, "g")))];
}

/** A metric that is not there, a label that it has not, a rate of what is no counter. */
export function problemsOfExpression(expr: string, there: ReadonlyMap<string, Metric>): string[] {
  return metricsAskedFor(expr).flatMap((name) => {
    const base = there.has(name) ? name : name.replace(/_(bucket|sum|count)$/, "");
    const metric = there.get(base);
    const isPart = base !== name;
    if (!metric || (isPart && metric.type !== "histogram")) return [`there is no ${name}`];
    const problems: string[] = [];
    if (!isPart && metric.type === "histogram") problems.push(`${name} is a histogram`);
    const isRated = new RegExp(`\\b(?:rate|increase)\\(\\s*${name}\\b(?:{[^}]*})?\\[`).test(expr);
    if (isRated && metric.type === "gauge") problems.push(`${name} is no counter`);
    const matchers = [...expr.matchAll(new RegExp(`\\b${name}{([^}]*)}`, "g"))];
    for (const [, inner = ""] of matchers) {
      for (const [, label = ""] of inner.matchAll(/([a-z_]+)\s*(?:=~|!~|!=|=)/g)) {
        const isThere = !metric.labels || metric.labels.has(label) || LABELS_OF_ALL.has(label);
        if (!isThere) problems.push(`${name} has no label ${label}`);
      }
    }
    return problems;
  });
}
