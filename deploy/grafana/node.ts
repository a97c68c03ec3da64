/** @file One node, or some: what it does, how fast, and how it is. */
import { choice, dashboard, lines, number, rows } from "./panels.js";

const text = (title: string, description: string, unit = "s", span = 8) => ({
  ...{ title, description, unit, span },
});
/** Every series of the chosen instances. */
const OF = 'instance=~"$instance"';

export function node() {
  const board = dashboard("node", "renderfarm / node").withVariable(
    choice("instance", "label_values(renderfarm_node_up, instance)"),
  );
  return rows(
    board,
    [
      "State",
      number(text("Up", "1 while the coordinator counts on it.", "short", 6), {
        expr: `renderfarm_node_up{${OF}}`,
        legend: "{{node}} {{role}}",
      }),
      number(text("Build", "Versions that run.", "short", 6), {
        expr: `renderfarm_build_info{${OF}}`,
        legend: "{{version}} onnxruntime {{ort_version}}",
      }),
      number(text("Opening the checkpoint", "Check and load, at the start.", "s", 6), {
        expr: `renderfarm_model_load_duration_seconds{${OF}}`,
        legend: "{{model}}",
      }),
      number(text("Runtime restarts", "The child that owns the accelerator.", "short", 6), {
        expr: `renderfarm_runtime_restarts_total{${OF}}`,
        legend: "{{instance}}",
      }),
    ],
    [
      "Work",
      lines(text("Accelerator busy", "Share of its time.", "percentunit"), {
        expr: `rate(renderfarm_gpu_busy_seconds_total{${OF}}[$__rate_interval])`,
        legend: "{{instance}}",
      }),
      lines(text("Step", "Median denoising step."), {
        expr: `histogram_quantile(0.5, sum by (le, instance, plan) (rate(renderfarm_denoise_step_duration_seconds_bucket{${OF}}[$__rate_interval])))`,
        legend: "{{instance}} {{plan}}",
      }),
      lines(text("Ended tasks", "By stage and outcome.", "ops"), {
        expr: `sum by (stage, outcome) (rate(renderfarm_tasks_ended_total{${OF}}[$__rate_interval]))`,
        legend: "{{stage}} {{outcome}}",
      }),
    ],
    [
      "Exchange",
      lines(text("Wait for the partner", "Mean."), {
        expr: `sum by (instance) (rate(renderfarm_cfg_rendezvous_wait_seconds_sum{${OF}}[$__rate_interval])) / sum by (instance) (rate(renderfarm_cfg_rendezvous_wait_seconds_count{${OF}}[$__rate_interval]))`,
        legend: "{{instance}}",
      }),
      lines(text("Bytes", "By transport and direction.", "Bps"), {
        expr: `sum by (instance, transport, direction) (rate(renderfarm_tensor_transfer_bytes_total{${OF}}[$__rate_interval]))`,
        legend: "{{instance}} {{transport}} {{direction}}",
      }),
      lines(
        text("Trouble", "Lost coordinators, latents not saved.", "ops"),
        {
          expr: `rate(renderfarm_coordinator_links_lost_total{${OF}}[$__rate_interval])`,
          legend: "{{instance}} links lost",
        },
        {
          expr: `rate(renderfarm_checkpoint_failures_total{${OF}}[$__rate_interval])`,
          legend: "{{instance}} saves failed",
        },
      ),
    ],
    [
      "Process",
      lines(text("Processor", "Of the agent; the runtime child is apart.", "percentunit"), {
        expr: `rate(process_cpu_seconds_total{${OF}}[$__rate_interval])`,
        legend: "{{instance}}",
      }),
      lines(text("Memory", "Resident, of the agent.", "bytes"), {
        expr: `process_resident_memory_bytes{${OF}}`,
        legend: "{{instance}}",
      }),
      lines(text("Event loop lag", "How late timers run: median, p99, worst."), {
        expr: `renderfarm_event_loop_lag_seconds{${OF}}`,
        legend: "{{instance}} {{part}}",
      }),
    ],
  );
}
