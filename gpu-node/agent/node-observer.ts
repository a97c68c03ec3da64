/** @file Who looks on while a node works: metrics. What it does changes nothing. */
import type { GuidanceHalf, TaskAssignment, TaskReport } from "../../shared/farm/work.js";

/** How the halves of a denoising are shared out now. */
export type DenoisePlanKind = "single" | "pair";

/** Hears of one denoising; all times are seconds. */
export interface DenoiseObserver {
  /** A half was computed here. */
  halfMade(half: GuidanceHalf, seconds: number): void;
  /** The own half goes to the partner. */
  halfSent(bytes: number): void;
  /**
   * The partner's half is here.
   *
   * @param traceparent W3C Trace Context of the task that made it; null where that is not traced
   */
  halfCame(traceparent: string | null): void;
  /** Guidance and Euler step were applied. */
  combined(seconds: number): void;
  /** From the beginning of a step to its end. */
  stepMade(plan: DenoisePlanKind, seconds: number): void;
  /** From the own half to the partner's; 0 where that one came first. */
  waited(seconds: number): void;
  /** Latents on their way are in the store. */
  saved(seconds: number): void;
}

/** Hears of everything that a node does. */
export interface NodeObserver extends DenoiseObserver {
  assigned(assignment: TaskAssignment): void;
  /** The tasks before it have ended. */
  started(taskId: string): void;
  reported(taskId: string, report: TaskReport): void;
  /** The coordinator wants this grant no more, as when the partner was done first: no report follows. */
  cancelled(taskId: string, epoch: number): void;
  /** A sound frame of the partner was not used. */
  frameDropped(reason: string): void;
  saveFailed(): void;
  /** The coordinator counts on this node, or no longer does. */
  linked(isUp: boolean): void;
  /** The runtime child was started again. */
  runtimeRestarted(): void;
  /** The accelerator computed for so many seconds. */
  computed(seconds: number): void;
  /** The checkpoint is open, so many seconds after the start. */
  modelLoaded(model: string, seconds: number): void;
}

export const silentNodeObserver: NodeObserver = {
  halfMade() {},
  halfSent() {},
  halfCame() {},
  combined() {},
  stepMade() {},
  waited() {},
  saved() {},
  assigned() {},
  started() {},
  reported() {},
  cancelled() {},
  frameDropped() {},
  saveFailed() {},
  linked() {},
  runtimeRestarted() {},
  computed() {},
  modelLoaded() {},
};

/** Both as one. */
export function bothNodeObservers(a: NodeObserver, b: NodeObserver): NodeObserver {
  const both =
    <K extends keyof NodeObserver>(name: K) =>
    (...args: Parameters<NodeObserver[K]>): void => {
      for (const each of [a, b]) {
        (each[name] as (...args: Parameters<NodeObserver[K]>) => void).apply(each, args);
      }
    };
  return {
    halfMade: both("halfMade"),
    halfSent: both("halfSent"),
    halfCame: both("halfCame"),
    combined: both("combined"),
    stepMade: both("stepMade"),
    waited: both("waited"),
    saved: both("saved"),
    assigned: both("assigned"),
    started: both("started"),
    reported: both("reported"),
    cancelled: both("cancelled"),
    frameDropped: both("frameDropped"),
    saveFailed: both("saveFailed"),
    linked: both("linked"),
    runtimeRestarted: both("runtimeRestarted"),
    computed: both("computed"),
    modelLoaded: both("modelLoaded"),
  };
}
