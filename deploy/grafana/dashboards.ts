/** @file Every file that is generated for a cluster's monitoring, by its path from deploy/. */
import { parse, stringify } from "yaml";
import { node } from "./node.js";
import { overview } from "./overview.js";
import { pipeline } from "./pipeline.js";
import { slo } from "./slo.js";

const MONITORING = "k8s/components/monitoring";
const DASHBOARDS = { overview, pipeline, node, slo };

/** Where the rules are written by hand, from deploy/. */
export const RULES = "prometheus/rules.yaml";

/** @param rules text of RULES */
export function generatedFiles(rules: string): ReadonlyMap<string, string> {
  const files = new Map<string, string>();
  for (const [name, make] of Object.entries(DASHBOARDS)) {
    const json = JSON.stringify(make().build(), null, 2);
    files.set(`${MONITORING}/dashboards/${name}.json`, `${json}\n`);
  }
  const object = {
    apiVersion: "monitoring.coreos.com/v1",
    kind: "PrometheusRule",
    metadata: {
      name: "renderfarm",
      labels: {
        "app.kubernetes.io/name": "renderfarm",
        "app.kubernetes.io/part-of": "renderfarm",
      },
    },
    spec: parse(rules) as unknown,
  };
  const head =
    "# Written by `node scripts/generate-dashboards.mjs` from deploy/prometheus/rules.yaml.\n";
  files.set(`${MONITORING}/rules.yaml`, head + stringify(object, { lineWidth: 100 }));
  return files;
}
