/**
 * The tests of the alerts are tested: with a fault in its rule, an alert's own cases in rules.test.yaml
 * fail. Only the cases that speak of an alert are run, and only beside the recorded rules.
 */
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { RULES } from "../../deploy/grafana/dashboards.js";
import { serverPath } from "../servers/server-path.js";
import { readText } from "./watched-farm.js";

const run = promisify(execFile);
const promtool = await serverPath("promtool");

interface Rule {
  readonly alert?: string;
  readonly expr: string;
  readonly for?: string;
}
interface Case {
  readonly alert_rule_test: readonly {
    readonly alertname: string;
    readonly exp_alerts?: object[];
  }[];
}
const { groups } = parse(readText(`deploy/${RULES}`)) as {
  groups: { name: string; rules: Rule[] }[];
};
const recorded = groups.filter(({ rules }) => rules.every(({ alert }) => alert === undefined));
const alerts = groups.flatMap(({ rules }) => rules).filter(({ alert }) => alert !== undefined);
const { tests: cases } = parse(readText("deploy/prometheus/rules.test.yaml")) as { tests: Case[] };

/** What may be wrong with a rule: waits, and each number that something is compared with. */
function faultsOf(rule: Rule): [name: string, rule: Rule][] {
  const bounds = [...rule.expr.matchAll(/(>=|>|<)\s*([0-9.]+)/g)];
  const moved = bounds.flatMap(({ 0: text, 1: sign, 2: bound, index }) =>
    [0.5, 2].map((factor): [string, Rule] => {
      const other = `${sign} ${Number(bound) * factor}`;
      const expr = rule.expr.slice(0, index) + other + rule.expr.slice(index + text.length);
      return [`${other} in the place of ${text}`, { ...rule, expr }];
    }),
  );
  return [
    ["that never fires", { ...rule, expr: "vector(0) > 1" }],
    ["that always fires", { ...rule, expr: "vector(1)" }],
    ["that fires at once", { ...rule, for: "0s" }],
    ["that waits for ten times as long", { ...rule, for: longer(rule.for ?? "0m") }],
    ...moved,
  ];
}

const longer = (wait: string) => wait.replace(/\d+/, (minutes) => String(Number(minutes) * 10));

describe.skipIf(promtool === null)("an alert", () => {
  let folder = "";
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "rules-"));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  /** What promtool says of a rule; "" where all cases of its alert pass. */
  async function said(rule: Rule): Promise<string> {
    const own = cases
      .map((each) => ({
        ...each,
        alert_rule_test: each.alert_rule_test.filter(({ alertname }) => alertname === rule.alert),
      }))
      .filter((each) => each.alert_rule_test.length > 0);
    const rules = { groups: [...recorded, { name: "alerts", rules: [rule] }] };
    const test = { rule_files: ["rules.yaml"], evaluation_interval: "30s", tests: own };
    writeFileSync(join(folder, "rules.yaml"), JSON.stringify(rules));
    writeFileSync(join(folder, "rules.test.yaml"), JSON.stringify(test));
    return run(promtool!, ["test", "rules", "rules.test.yaml"], { cwd: folder }).then(
      () => "",
      ({ stdout, stderr }: { stdout: string; stderr: string }) => `${stdout}${stderr}`,
    );
  }

  test.each(alerts.map((rule) => [rule.alert, rule] as const))(
    "%s passes its cases",
    async (_name, rule) => {
      expect(await said(rule)).toBe("");
    },
  );

  const planted = alerts.flatMap((rule) =>
    faultsOf(rule).map(([name, faulty]) => [rule.alert, name, faulty] as const),
  );
  test.each(planted)("%s %s is found", async (name, _fault, faulty) => {
    const text = await said(faulty);
    expect(text).toContain("FAILED");
    expect(text).toContain(`alertname: ${name}`);
  });
});
