/** @file What users are promised, and how much of the promise is left. */
import { dashboard, lines, number, rows } from "./panels.js";

const text = (title: string, description: string, unit: string, span: number) => ({
  ...{ title, description, unit, span },
});

/** Jobs that end well, of those that were not cancelled. */
const good = (window: string) =>
  `sum(increase(renderfarm_jobs_finished_total{outcome="succeeded"}[${window}])) / sum(increase(renderfarm_jobs_finished_total{outcome=~"succeeded|failed"}[${window}]))`;
/** 99 of 100 jobs end well. */
const OBJECTIVE = 0.99;

export function slo() {
  return rows(
    dashboard("slo", "renderfarm / SLO"),
    [
      "Jobs end well: 99 of 100",
      number(text("Within a day", "Cancelled jobs do not count.", "percentunit", 6), {
        expr: good("1d"),
        legend: "",
      }),
      number(text("Error budget left", "Of a day's; negative is overspent.", "percentunit", 6), {
        expr: `1 - (1 - (${good("1d")})) / ${(1 - OBJECTIVE).toFixed(2)}`,
        legend: "",
      }),
      lines(
        text(
          "Burn rate",
          "1 spends the budget exactly; 14 within an hour wakes somebody.",
          "short",
          12,
        ),
        ...["5m", "1h"].map((window) => ({
          expr: `(1 - (${good(window)})) / ${(1 - OBJECTIVE).toFixed(2)}`,
          legend: window,
        })),
      ),
    ],
    [
      "Jobs start soon: 95 of 100 within 5 minutes",
      number(text("Started within 5 minutes", "Of a day's jobs.", "percentunit", 6), {
        expr: 'sum(increase(renderfarm_job_queued_seconds_bucket{le="300"}[1d])) / sum(increase(renderfarm_job_queued_seconds_count[1d]))',
        legend: "",
      }),
      lines(
        text("Time in the queue", "From the creation of a job to its first task.", "s", 18),
        ...[0.5, 0.95].map((q) => ({
          expr: `histogram_quantile(${q}, sum by (le) (rate(renderfarm_job_queued_seconds_bucket[$__rate_interval])))`,
          legend: `p${q * 100}`,
        })),
      ),
    ],
    [
      "The API answers",
      lines(text("Calls that fail", "By the farm's own fault.", "percentunit", 12), {
        expr: '(sum(rate(grpc_server_handled_total{grpc_code=~"Unknown|Internal|DataLoss|Unavailable"}[$__rate_interval])) or vector(0)) / sum(rate(grpc_server_handled_total[$__rate_interval]))',
        legend: "failing",
      }),
      lines(text("Answered within 100 ms", "Unary calls.", "percentunit", 12), {
        expr: 'sum(rate(grpc_server_handling_seconds_bucket{le="0.1"}[$__rate_interval])) / sum(rate(grpc_server_handling_seconds_count[$__rate_interval]))',
        legend: "within 100 ms",
      }),
    ],
    [
      "What is lost",
      lines(text("Wasted accelerator time", "Of the time used.", "percentunit", 12), {
        expr: "sum(increase(renderfarm_gpu_seconds_wasted_total[1h])) / (sum(increase(renderfarm_gpu_seconds_used_total[1h])) > 0)",
        legend: "wasted",
      }),
      lines(text("Silence", "Of the longest silent node; leases are 5 s.", "s", 12), {
        expr: "max(renderfarm_node_heartbeat_age_seconds)",
        legend: "silence",
      }),
    ],
  );
}
