/**
 * Metrics, rules and dashboards belong together: a real Prometheus scrapes a running farm, and every
 * panel has something to show.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { parse, parseAllDocuments } from "yaml";
import { generatedFiles, RULES } from "../../deploy/grafana/dashboards.js";
import { JOB_OPTIONS_DEFAULT } from "../../shared/farm/job.js";
import { CLIP, Following, hashesOf, PICTURE } from "../farm/farm-harness.js";
import { serverPath } from "../servers/server-path.js";
import { metricsAskedFor, metricsOf, problemsOfExpression } from "./expressions.js";
import { Prometheus, readText, WatchedFarm } from "./watched-farm.js";

const prometheusPath = await serverPath("prometheus");
const promtool = await serverPath("promtool");
const rules = readText(`deploy/${RULES}`);
const generated = generatedFiles(rules);
/** Two scrapes and an evaluation of the rules, on a busy machine. */
const SCRAPED_MS_MAX = 60_000;
/** A few scrapes. */
const SHOWN_MS_MAX = 20_000;

interface Panel {
  readonly title: string;
  readonly targets?: readonly { readonly expr: string }[];
}
const panels = [...generated]
  .filter(([name]) => name.endsWith(".json"))
  .flatMap(([name, text]) =>
    (JSON.parse(text) as { panels: Panel[] }).panels.flatMap(({ title, targets = [] }) =>
      targets.map(({ expr }) => [`${name.split("/").at(-1)} / ${title}`, expr] as const),
    ),
  );
interface Rule {
  readonly alert?: string;
  readonly record?: string;
  readonly expr: string;
  readonly annotations?: { readonly runbook_url: string };
  readonly labels?: Readonly<Record<string, string>>;
}
interface Scaled {
  readonly spec: {
    readonly triggers: readonly { readonly metadata: { readonly query: string } }[];
  };
}
const misspelt = (expr: string) => expr.replace(/\b(renderfarm|grpc_server|process)/g, "$1s");
const { groups } = parse(rules) as { groups: { rules: Rule[] }[] };
const all = groups.flatMap((group) => group.rules);
const recorded = new Set(all.flatMap(({ record }) => record ?? []));

describe("what is generated", () => {
  test.each([...generated])("%s is as it would be written now", (name, text) => {
    expect(readText(`deploy/${name}`)).toBe(text);
  });
});

describe("the rules", () => {
  const alerts = all.filter(({ alert }) => alert !== undefined);
  test.each(alerts.map((rule) => [rule.alert, rule] as const))("%s has a page", (name, rule) => {
    const path = rule.annotations?.runbook_url ?? "";
    expect(existsSync(fileURLToPath(new URL(`../../${path}`, import.meta.url))), path).toBe(true);
    expect(readText(path)).toContain(name);
    expect(["critical", "warning"]).toContain(rule.labels?.["severity"]);
  });

  test.skipIf(promtool === null)("are valid, and their tests pass", () => {
    const folder = fileURLToPath(new URL("../../deploy/prometheus", import.meta.url));
    const run = (...args: string[]) =>
      execFileSync(promtool!, args, { cwd: folder, stdio: "pipe" });
    run("check", "rules", "rules.yaml");
    run("test", "rules", "rules.test.yaml");
    const tested = readFileSync(`${folder}/rules.test.yaml`, "utf8");
    for (const { alert } of alerts) expect(tested).toContain(`alertname: ${alert}`);
  });
});

describe.skipIf(prometheusPath === null || promtool === null)("a farm that is watched", () => {
  let farm: WatchedFarm;
  let prometheus: Prometheus;

  beforeAll(async () => {
    farm = await WatchedFarm.start();
    prometheus = await Prometheus.start(prometheusPath!, farm.targets);
    // A counter rises where it was seen before.
    await vi.waitFor(async () => {
      expect(await prometheus.values("up")).toEqual([1, 1, 1]);
    }, SCRAPED_MS_MAX);
    const image = await farm.client.upload(readFileSync(PICTURE));
    const { jobId } = await farm.client.createJob({
      images: [image],
      parameters: { ...CLIP, numInferenceSteps: 100 },
      modelDigest: "",
      requestId: "watched",
      options: JOB_OPTIONS_DEFAULT,
    });
    const signal = AbortSignal.timeout(SCRAPED_MS_MAX);
    hashesOf(await new Following(farm.client.watchJob(jobId, signal)).end());
  });
  afterAll(async () => {
    await prometheus?.stop();
    await farm?.stop();
  });

  test.each(["coordinator", "node-1"])(
    "the metrics of %s are as Prometheus wants them",
    async (name) => {
      const text = await farm.scrape(name);
      const { status, stderr } = spawnSync(promtool!, ["check", "metrics"], { input: text });
      expect({ status, said: stderr.toString() }).toEqual({ status: 0, said: "" });
    },
  );

  test("every metric that a panel, a rule or a scaler asks for is there, with the labels it asks for", async () => {
    const texts = await Promise.all(["coordinator", "node-1"].map((name) => farm.scrape(name)));
    const there = metricsOf(texts.join("\n"));
    for (const name of recorded) there.set(name, { type: "gauge", labels: null });
    // Only a farm with certificates has their end.
    const expiry = "renderfarm_certificate_expiry_timestamp_seconds";
    there.set(expiry, { type: "gauge", labels: new Set(["certificate"]) });
    const scaler = readText("deploy/k8s/components/keda/scaled-objects.yaml");
    const queries = parseAllDocuments(scaler).flatMap((document) =>
      (document.toJS() as Scaled).spec.triggers.map(({ metadata }) => metadata.query),
    );
    const asked = [...panels.map(([, expr]) => expr), ...all.map(({ expr }) => expr), ...queries];
    expect(asked.flatMap((expr) => problemsOfExpression(expr, there))).toEqual([]);
    expect(asked.flatMap((expr) => metricsAskedFor(expr)).length).toBeGreaterThan(40);
    // A name that is misspelt anywhere is found.
    const unnoticed = asked
      .filter((expr) => metricsAskedFor(expr).length > 0)
      .filter((expr) => problemsOfExpression(misspelt(expr), there).length === 0);
    expect(unnoticed).toEqual([]);
  });

  test("no label tells jobs, tasks or owners apart", async () => {
    const text = (await farm.scrape("coordinator")) + (await farm.scrape("node-1"));
    expect(text).not.toMatch(/\b(job|job_id|task|task_id|clip|owner|tenant)="/);
  });

  test.each(panels)("%s shows something", async (_name, expr) => {
    const query = expr.replaceAll("$__rate_interval", "5m").replaceAll("$instance", ".*");
    await vi.waitFor(async () => {
      // Somebody looks at the farm all the time.
      await farm.client.getFarm();
      expect(await prometheus.values(query), query).not.toEqual([]);
    }, SHOWN_MS_MAX);
  });

  test("no alert fires in a healthy farm", async () => {
    expect(await prometheus.values('ALERTS{alertstate="firing"}')).toEqual([]);
  });
});
