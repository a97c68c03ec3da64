/** @file What a node does as Prometheus metrics. Labels are bounded: no job and no task is one. */
import { Counter, exponentialBuckets, Gauge, Histogram, type Registry } from "prom-client";
import type {
  GuidanceHalf,
  NodePreference,
  Stage,
  TaskAssignment,
  TaskReport,
} from "../../shared/farm/work.js";
import type { DenoisePlanKind, NodeObserver } from "./node-observer.js";

/** 5 ms, a step of the smallest model, to 164 s, one of SVD-XT on a CPU. */
const WORK_SECONDS = exponentialBuckets(0.005, 2, 16);
/** 0.1 ms, the partner's half was there already, to 105 s, beyond every deadline. */
const WAIT_SECONDS = exponentialBuckets(0.0001, 4, 11);
/** Tasks whose stage is remembered; a node holds two, and some that have just ended. */
const TASKS_MAX = 64;

export interface NodeMetricsOptions {
  readonly registry: Registry;
  readonly nodeId: string;
  readonly provider: string;
  readonly prefers: NodePreference;
}

interface TaskKind {
  readonly stage: Stage;
  readonly plan: DenoisePlanKind;
}

export class NodeMetrics implements NodeObserver {
  readonly #provider: string;
  readonly #tasks = new Map<string, TaskKind>();
  readonly #taskSeconds: Histogram<"stage" | "provider" | "plan">;
  readonly #steps: Histogram<"provider" | "plan">;
  readonly #parts: Histogram<"part" | "provider">;
  readonly #waits: Histogram;
  readonly #saves: Histogram;
  readonly #ended: Counter<"stage" | "outcome">;
  readonly #dropped: Counter<"reason">;
  readonly #saveFailures: Counter;
  readonly #links: Counter;
  readonly #restarts: Counter;
  readonly #busy: Counter;
  readonly #load: Gauge<"model">;
  #isUp = 0;

  constructor({ registry, nodeId, provider, prefers }: NodeMetricsOptions) {
    this.#provider = provider;
    const registers = [registry];
    const histogram = <L extends string = never>(
      name: string,
      help: string,
      buckets: number[],
      labelNames: L[] = [],
    ) => new Histogram({ name: `renderfarm_${name}`, help, buckets, labelNames, registers });
    const counter = <L extends string = never>(name: string, help: string, labelNames: L[] = []) =>
      new Counter({ name: `renderfarm_${name}`, help, labelNames, registers });

    const taskHelp = "Seconds of a finished task; plan is single but for a denoising of two nodes.";
    const kind: ("stage" | "provider" | "plan")[] = ["stage", "provider", "plan"];
    this.#taskSeconds = histogram("task_duration_seconds", taskHelp, WORK_SECONDS, kind);
    const stepHelp = "Seconds of one denoising step, the wait for the partner included.";
    const plan: ("provider" | "plan")[] = ["provider", "plan"];
    this.#steps = histogram("denoise_step_duration_seconds", stepHelp, WORK_SECONDS, plan);
    const partHelp = "Seconds of a part of a step: one half, or guidance and Euler update.";
    const part: ("part" | "provider")[] = ["part", "provider"];
    this.#parts = histogram("denoise_part_duration_seconds", partHelp, WORK_SECONDS, part);
    const waitHelp = "Seconds from a node's own half of a step to its partner's.";
    this.#waits = histogram("cfg_rendezvous_wait_seconds", waitHelp, WAIT_SECONDS);
    const saveHelp = "Seconds to store the latents of a step while the next one runs.";
    this.#saves = histogram("checkpoint_duration_seconds", saveHelp, WORK_SECONDS);
    this.#ended = counter("tasks_ended_total", "Tasks that ended here.", ["stage", "outcome"]);
    const dropHelp = "Sound frames of a partner that were not used: stale, doubled, early.";
    this.#dropped = counter("frames_dropped_total", dropHelp, ["reason"]);
    this.#saveFailures = counter("checkpoint_failures_total", "Latents that were not stored.");
    this.#links = counter("coordinator_links_lost_total", "Times the coordinator was lost.");
    this.#restarts = counter("runtime_restarts_total", "Times the runtime child was restarted.");
    this.#busy = counter("gpu_busy_seconds_total", "Seconds that the accelerator ran graphs.");
    this.#load = new Gauge({
      name: "renderfarm_model_load_duration_seconds",
      help: "Seconds that the check and the opening of the checkpoint took.",
      labelNames: ["model"],
      registers,
    });
    this.#beginAtZero();
    const isUp = () => this.#isUp;
    new Gauge({
      name: "renderfarm_node_up",
      help: "1 while the coordinator counts on this node.",
      labelNames: ["node", "role"],
      registers,
      collect() {
        this.set({ node: nodeId, role: prefers }, isUp());
      },
    });
  }

  /** What was never there has no rate when it comes. */
  #beginAtZero(): void {
    const provider = this.#provider;
    for (const plan of ["single", "pair"] as const) {
      this.#steps.zero({ provider, plan });
      this.#taskSeconds.zero({ provider, plan, stage: "denoise" });
    }
    for (const part of ["uncond", "cond", "combine"]) this.#parts.zero({ provider, part });
    for (const stage of ["condition", "decode", "mux"]) {
      this.#taskSeconds.zero({ provider, plan: "single", stage });
    }
    for (const stage of ["condition", "denoise", "decode", "mux"]) {
      this.#ended.inc({ stage, outcome: "finished" }, 0);
    }
  }

  halfMade(half: GuidanceHalf, seconds: number): void {
    this.#parts.observe({ part: half, provider: this.#provider }, seconds);
  }

  // Bytes and their times are counted at the bus.
  halfSent(): void {}
  halfCame(): void {}

  combined(seconds: number): void {
    this.#parts.observe({ part: "combine", provider: this.#provider }, seconds);
  }

  stepMade(plan: DenoisePlanKind, seconds: number): void {
    this.#steps.observe({ plan, provider: this.#provider }, seconds);
  }

  waited(seconds: number): void {
    this.#waits.observe(seconds);
  }

  saved(seconds: number): void {
    this.#saves.observe(seconds);
  }

  started(): void {}

  cancelled(): void {}

  assigned({ taskId, work }: TaskAssignment): void {
    const isPair = work.stage === "denoise" && work.pair !== null;
    this.#tasks.set(taskId, { stage: work.stage, plan: isPair ? "pair" : "single" });
    for (const oldest of this.#tasks.keys()) {
      if (this.#tasks.size <= TASKS_MAX) break;
      this.#tasks.delete(oldest);
    }
  }

  reported(taskId: string, report: TaskReport): void {
    if (!isEnd(report)) return;
    const task = this.#tasks.get(taskId);
    if (!task) return;
    this.#tasks.delete(taskId);
    this.#ended.inc({ stage: task.stage, outcome: report.kind });
    if (report.kind !== "finished") return;
    this.#taskSeconds.observe({ ...task, provider: this.#provider }, report.result.seconds);
  }

  frameDropped(reason: string): void {
    this.#dropped.inc({ reason });
  }

  saveFailed(): void {
    this.#saveFailures.inc();
  }

  linked(isUp: boolean): void {
    if (!isUp && this.#isUp === 1) this.#links.inc();
    this.#isUp = isUp ? 1 : 0;
  }

  runtimeRestarted(): void {
    this.#restarts.inc();
  }

  computed(seconds: number): void {
    this.#busy.inc(seconds);
  }

  modelLoaded(model: string, seconds: number): void {
    this.#load.set({ model }, seconds);
  }
}

function isEnd({ kind }: TaskReport): boolean {
  return kind === "finished" || kind === "failed" || kind === "yielded";
}
