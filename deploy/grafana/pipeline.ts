/** @file Who waits for whom: stages, steps, halves, and the bytes between them. */
import { dashboard, lines, rows } from "./panels.js";

const text = (title: string, description: string, unit = "s", span = 12) => ({
  ...{ title, description, unit, span },
});

const quantile = (q: number, metric: string, by: string) =>
  `histogram_quantile(${q}, sum by (le${by && `, ${by}`}) (rate(${metric}_bucket[$__rate_interval])))`;
const mean = (metric: string, by: string) =>
  `sum by (${by}) (rate(${metric}_sum[$__rate_interval])) / sum by (${by}) (rate(${metric}_count[$__rate_interval]))`;

export function pipeline() {
  return rows(
    dashboard("pipeline", "renderfarm / pipeline"),
    [
      "Stages",
      lines(
        text("Time of a task", "Mean seconds of finished tasks; a denoising is all its steps."),
        {
          expr: mean("renderfarm_task_duration_seconds", "stage, provider, plan"),
          legend: "{{stage}} {{provider}} {{plan}}",
        },
      ),
      lines(
        text("Work under way and waiting", "Tasks that are held, and those that wait.", "short"),
        { expr: "sum by (stage) (renderfarm_leases)", legend: "{{stage}} held" },
        { expr: "sum by (stage) (renderfarm_queue_depth_tasks)", legend: "{{stage}} waiting" },
      ),
    ],
    [
      "A denoising step",
      lines(
        text("Step", "Median and p95, by provider and plan."),
        ...[0.5, 0.95].map((q) => ({
          expr: quantile(q, "renderfarm_denoise_step_duration_seconds", "provider, plan"),
          legend: `p${q * 100} {{provider}} {{plan}}`,
        })),
      ),
      lines(text("Parts of a step", "Mean seconds of a half and of guidance with Euler update."), {
        expr: mean("renderfarm_denoise_part_duration_seconds", "part, provider"),
        legend: "{{part}} {{provider}}",
      }),
      lines(
        text(
          "Wait for the partner",
          "From the own half to the partner's; near zero is a good pair.",
        ),
        ...[0.5, 0.95].map((q) => ({
          expr: quantile(q, "renderfarm_cfg_rendezvous_wait_seconds", ""),
          legend: `p${q * 100}`,
        })),
      ),
      lines(
        text(
          "Share of paired steps spent waiting",
          "Above a quarter, pairs gain little.",
          "percentunit",
        ),
        {
          expr: 'sum(rate(renderfarm_cfg_rendezvous_wait_seconds_sum[$__rate_interval])) / sum(rate(renderfarm_denoise_step_duration_seconds_sum{plan="pair"}[$__rate_interval]))',
          legend: "waiting",
        },
      ),
    ],
    [
      "Bytes",
      lines(text("Moved", "Payload by transport, as each process sees it.", "Bps"), {
        expr: "sum by (transport, direction) (rate(renderfarm_tensor_transfer_bytes_total[$__rate_interval]))",
        legend: "{{transport}} {{direction}}",
      }),
      lines(text("Time of a put or get", "p95 of the blob store."), {
        expr: quantile(0.95, "renderfarm_tensor_transfer_duration_seconds", "transport, direction"),
        legend: "{{transport}} {{direction}}",
      }),
      lines(text("Saving latents", "p95; steps go on meanwhile."), {
        expr: quantile(0.95, "renderfarm_checkpoint_duration_seconds", ""),
        legend: "save",
      }),
      lines(text("Frames not used", "Stale, doubled or early; a few after a failover.", "ops"), {
        expr: "sum by (reason) (rate(renderfarm_frames_dropped_total[$__rate_interval])) or vector(0)",
        legend: "{{reason}}",
      }),
    ],
  );
}
