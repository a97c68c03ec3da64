import { Registry } from "prom-client";
import { beforeEach, describe, expect, test } from "vitest";
import { FarmWorld, jobParameters, node } from "../../test/plan/farm-world.js";
import { reduceFarm } from "../plan/farm.js";
import { planFarm } from "../plan/schedule.js";
import type { Occurrence } from "./farm-loop.js";
import { FarmMetrics } from "./metrics.js";

/** A world whose every event is looked at, as the loop does it. */
class WatchedWorld {
  readonly world = new FarmWorld();
  readonly registry = new Registry();
  readonly metrics = new FarmMetrics(this.registry, () => this.world.nowMs);

  constructor() {
    this.metrics.started(this.world.farm);
  }

  send(occurrence: Occurrence): void {
    const { farm, nowMs, policy } = this.world;
    const step = (each: Occurrence) => {
      const event = { ...each, atMs: nowMs } as Parameters<typeof reduceFarm>[1];
      this.metrics.applied(farm, event, reduceFarm(farm, event));
    };
    step(occurrence);
    const { grants, yields } = planFarm(farm, policy, nowMs);
    for (const grant of grants) step({ kind: "task-granted", ...grant });
    for (const taskId of yields) step({ kind: "task-asked-to-yield", taskId });
  }

  create(jobId: string): void {
    this.send({
      kind: "job-created",
      job: {
        jobId,
        ...{ parameters: jobParameters, images: [{ key: "x", sha256: "", size: 1 }] },
        ...{ modelDigest: "d".repeat(64), modelName: "demo", requestId: "", branchLatents: null },
        ...{ traceparent: null },
        ...{
          owner: "local",
          priority: 50,
          startAfterMs: null,
          deadlineMs: null,
          dependsOn: [],
          branch: null,
        },
        stepsTotal: 4,
        preview: false,
        labels: {},
        requestDigest: "",
      },
    });
  }

  /** Values by "name{labels}", those that are 0 left out. */
  async read(...names: string[]): Promise<Record<string, number>> {
    const lines = (await this.registry.metrics()).split("\n");
    const wanted = lines.filter((line) =>
      names.some((name) => line.startsWith(`renderfarm_${name}`)),
    );
    const entries = wanted.map((line) => {
      const cut = line.lastIndexOf(" ");
      return [line.slice("renderfarm_".length, cut), Number(line.slice(cut + 1))] as const;
    });
    return Object.fromEntries(entries.filter(([, value]) => value !== 0));
  }
}

describe("the metrics of a farm", () => {
  let w: WatchedWorld;
  beforeEach(() => {
    w = new WatchedWorld();
  });

  test("a job that waits is queued, and its first task is as old as it", async () => {
    w.world.nowMs = 1_000;
    w.create("a");
    w.world.nowMs = 3_500;
    w.create("b");
    w.world.nowMs = 6_000;
    expect(await w.read("jobs{", "jobs_submitted", "queue_")).toEqual({
      'jobs{state="queued"}': 2,
      'jobs_submitted_total{model="demo"}': 2,
      'queue_depth_tasks{stage="condition"}': 2,
      'queue_oldest_task_age_seconds{stage="condition"}': 5,
    });
  });

  test("a node takes a task out of the queue and holds it", async () => {
    w.create("a");
    w.send({ kind: "node-joined", node: node("n1") });
    expect(await w.read("jobs{", "queue_", "leases", "nodes{")).toEqual({
      'jobs{state="running"}': 1,
      'leases{stage="condition"}': 1,
      'nodes{state="working"}': 1,
    });
  });

  test("a lost node's task waits anew, and is counted by stage and class", async () => {
    w.send({ kind: "node-joined", node: node("n1") });
    w.create("a");
    w.world.nowMs = 9_000;
    w.send({ kind: "node-left", nodeId: "n1", bootId: "boot-n1", stopped: false });
    w.world.nowMs = 11_000;
    expect(await w.read("task_retries", "nodes_lost", "queue_", "leases")).toEqual({
      'task_retries_total{stage="condition",reason="node-lost"}': 1,
      nodes_lost_total: 1,
      'queue_depth_tasks{stage="condition"}': 1,
      'queue_oldest_task_age_seconds{stage="condition"}': 2,
    });
  });

  test("a node that says that it stops is not lost", async () => {
    w.send({ kind: "node-joined", node: node("n1") });
    w.send({ kind: "node-left", nodeId: "n1", bootId: "boot-n1", stopped: true });
    expect(await w.read("nodes_lost", "nodes_joined")).toEqual({ nodes_joined_total: 1 });
  });

  test("a job's end is counted once, with its time", async () => {
    w.world.nowMs = 0;
    w.create("a");
    w.world.nowMs = 4_000;
    w.send({ kind: "job-cancelled", jobId: "a" });
    w.send({ kind: "job-cancelled", jobId: "a" });
    expect(await w.read("jobs_finished", "job_duration_seconds_sum", "jobs{", "queue_")).toEqual({
      'jobs_finished_total{outcome="cancelled"}': 1,
      'job_duration_seconds_sum{outcome="cancelled"}': 4,
      'jobs{state="cancelled"}': 1,
    });
    w.send({ kind: "job-deleted", jobId: "a" });
    expect(await w.read("jobs{")).toEqual({});
    w.create("b");
    w.send({ kind: "job-expired", jobId: "b" });
    expect(await w.read("jobs{")).toEqual({ 'jobs{state="expired"}': 1 });
    expect(await w.read("jobs_finished")).toMatchObject({
      'jobs_finished_total{outcome="expired"}': 1,
    });
  });

  test("a held job does not wait; it does once it is let go", async () => {
    w.create("a");
    w.send({ kind: "job-paused", jobId: "a" });
    expect(await w.read("queue_depth")).toEqual({});
    w.world.nowMs = 20_000;
    w.send({ kind: "job-resumed", jobId: "a" });
    w.world.nowMs = 21_000;
    expect(await w.read("queue_")).toEqual({
      'queue_depth_tasks{stage="condition"}': 1,
      'queue_oldest_task_age_seconds{stage="condition"}': 1,
    });
  });

  test("who leads no longer says nothing of the farm; who leads again finds it as it is", async () => {
    w.create("a");
    expect(await w.read("coordinator_leader")).toEqual({ coordinator_leader: 1 });
    w.metrics.ended();
    expect(await w.read("jobs{", "queue_", "coordinator_leader", "leases")).toEqual({});
    w.metrics.started(w.world.farm);
    expect(await w.read("jobs{", "queue_depth", "coordinator_leader")).toEqual({
      'jobs{state="queued"}': 1,
      'queue_depth_tasks{stage="condition"}': 1,
      coordinator_leader: 1,
    });
  });
});
