/** @file The farm at a glance: jobs, queue, nodes, and what goes wrong. */
import { dashboard, lines, number, type Row, rows } from "./panels.js";

const short = (title: string, description: string, span: number, unit = "short") => ({
  ...{ title, description, span, unit },
});

export function overview() {
  const board = dashboard("overview", "renderfarm / overview");
  return rows(board, now(), jobs(), nodes(), trouble(), coordinator());
}

function now(): Row {
  return [
    "Now",
    number(short("Jobs running", "Jobs of which a task has started.", 4), {
      expr: 'sum(renderfarm_jobs{state="running"})',
      legend: "",
    }),
    number(short("Jobs queued", "Jobs that were accepted and have not started.", 4), {
      expr: 'sum(renderfarm_jobs{state="queued"})',
      legend: "",
    }),
    number(short("Nodes ready", "Connected nodes that may take work.", 4), {
      expr: 'sum(renderfarm_nodes{state=~"idle|working"})',
      legend: "",
    }),
    number(short("Oldest waiting task", "Of all stages.", 4, "s"), {
      expr: "max(renderfarm_queue_oldest_task_age_seconds)",
      legend: "",
    }),
    number(short("Accelerators busy", "Share of their time, of all nodes.", 4, "percentunit"), {
      expr: "avg(rate(renderfarm_gpu_busy_seconds_total[$__rate_interval]))",
      legend: "",
    }),
    number(short("Coordinators", "One leads, the others stand by.", 4), {
      expr: "count(renderfarm_coordinator_leader)",
      legend: "",
    }),
  ];
}

function jobs(): Row {
  return [
    "Jobs",
    lines(short("Ended jobs", "By outcome, per second.", 8, "ops"), {
      expr: "sum by (outcome) (rate(renderfarm_jobs_finished_total[$__rate_interval]))",
      legend: "{{outcome}}",
    }),
    lines(
      short("Time to finish", "From the creation of a job to its end.", 8, "s"),
      ...[0.5, 0.95].map((q) => ({
        expr: `histogram_quantile(${q}, sum by (le) (rate(renderfarm_job_duration_seconds_bucket{outcome="succeeded"}[$__rate_interval])))`,
        legend: `p${q * 100}`,
      })),
    ),
    lines(short("Waiting tasks", "Tasks that could start now.", 8), {
      expr: "sum by (stage) (renderfarm_queue_depth_tasks)",
      legend: "{{stage}}",
    }),
  ];
}

function nodes(): Row {
  return [
    "Nodes",
    lines(short("Nodes by state", "Connected nodes.", 8), {
      expr: "sum by (state) (renderfarm_nodes)",
      legend: "{{state}}",
    }),
    lines(short("Leases", "Tasks that nodes hold, by stage.", 8), {
      expr: "sum by (stage) (renderfarm_leases)",
      legend: "{{stage}}",
    }),
    lines(
      short("Accelerator seconds", "Used by tasks, and the part that came to nothing.", 8, "s"),
      {
        expr: "sum(rate(renderfarm_gpu_seconds_used_total[$__rate_interval]))",
        legend: "used a second",
      },
      {
        expr: "sum(rate(renderfarm_gpu_seconds_wasted_total[$__rate_interval]))",
        legend: "wasted a second",
      },
    ),
  ];
}

function trouble(): Row {
  return [
    "What goes wrong",
    lines(short("Retries", "Tasks put back into the queue, by stage and class.", 8, "ops"), {
      expr: "sum by (stage, reason) (rate(renderfarm_task_retries_total[$__rate_interval])) or vector(0)",
      legend: "{{stage}} {{reason}}",
    }),
    lines(
      short("Lost and stale", "Nodes that vanished, reports that came too late.", 8, "ops"),
      {
        expr: "sum(rate(renderfarm_nodes_lost_total[$__rate_interval]))",
        legend: "nodes lost",
      },
      {
        expr: "sum(rate(renderfarm_task_reports_stale_total[$__rate_interval]))",
        legend: "stale reports",
      },
      {
        expr: "sum(rate(renderfarm_pairs_broken_total[$__rate_interval]))",
        legend: "pairs broken",
      },
    ),
    lines(short("Transport errors", "Store, bus and journal.", 8, "ops"), {
      expr: "sum by (transport, operation) (rate(renderfarm_transport_errors_total[$__rate_interval])) or vector(0)",
      legend: "{{transport}} {{operation}}",
    }),
  ];
}

function coordinator(): Row {
  return [
    "The coordinator",
    lines(short("Calls", "Calls that ended, by code.", 8, "ops"), {
      expr: "sum by (grpc_code) (rate(grpc_server_handled_total[$__rate_interval]))",
      legend: "{{grpc_code}}",
    }),
    lines(short("Answer time", "p95 of unary calls.", 8, "s"), {
      expr: "histogram_quantile(0.95, sum by (le, grpc_method) (rate(grpc_server_handling_seconds_bucket[$__rate_interval])))",
      legend: "{{grpc_method}}",
    }),
    lines(short("Event to disk", "p95 of the journal's appends.", 8, "s"), {
      expr: "histogram_quantile(0.95, sum by (le) (rate(renderfarm_journal_append_duration_seconds_bucket[$__rate_interval])))",
      legend: "append",
    }),
  ];
}
