/** Expressions that ask for what no process tells are found; the dashboards' own are in monitoring.test.ts. */
import { expect, test } from "vitest";
import { metricsOf, problemsOfExpression } from "./expressions.js";

const there = metricsOf(`
# HELP renderfarm_nodes nodes
# TYPE renderfarm_nodes gauge
renderfarm_nodes{state="idle"} 2
# TYPE renderfarm_task_retries_total counter
renderfarm_task_retries_total{stage="decode",reason="node-lost"} 1
# TYPE renderfarm_step_seconds histogram
renderfarm_step_seconds_bucket{le="1",provider="cpu"} 1
renderfarm_step_seconds_sum{provider="cpu"} 1
renderfarm_step_seconds_count{provider="cpu"} 1
# TYPE renderfarm_frames_dropped_total counter
`);

test.each([
  ["a gauge", 'sum(renderfarm_nodes{state=~"idle|working"})'],
  ["a counter's rate", "sum by (stage) (rate(renderfarm_task_retries_total[5m]))"],
  ["buckets", "histogram_quantile(0.5, rate(renderfarm_step_seconds_bucket{le='1'}[5m]))"],
  ["a sum by its count", "renderfarm_step_seconds_sum / renderfarm_step_seconds_count"],
  ["an instance", 'renderfarm_nodes{instance=~"$instance"}'],
  ["a label of what was not counted yet", 'renderfarm_frames_dropped_total{reason="stale"}'],
])("%s may be asked for", (_name, expr) => {
  expect(problemsOfExpression(expr, there)).toEqual([]);
});

test.each([
  ["a metric that is not there", "renderfarm_node", "there is no renderfarm_node"],
  [
    "a counter without its ending",
    "rate(renderfarm_task_retries[5m])",
    "there is no renderfarm_task_retries",
  ],
  ["buckets of a gauge", "renderfarm_nodes_bucket", "there is no renderfarm_nodes_bucket"],
  ["a histogram as a whole", "renderfarm_step_seconds", "renderfarm_step_seconds is a histogram"],
  ["a rate of a gauge", "rate(renderfarm_nodes[5m])", "renderfarm_nodes is no counter"],
  [
    "a rate of a gauge with a label",
    'increase(renderfarm_nodes{state="idle"}[5m])',
    "renderfarm_nodes is no counter",
  ],
  [
    "a label that it has not",
    'renderfarm_nodes{stat="idle"}',
    "renderfarm_nodes has no label stat",
  ],
  [
    "one of two labels that it has not",
    'rate(renderfarm_step_seconds_sum{provider="cpu",plan!="pair"}[5m])',
    "renderfarm_step_seconds_sum has no label plan",
  ],
])("%s is found", (_name, expr, problem) => {
  expect(problemsOfExpression(expr, there)).toEqual([problem]);
});
