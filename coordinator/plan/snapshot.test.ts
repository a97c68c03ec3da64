import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { FarmWorld, jobParameters, node } from "../../test/plan/farm-world.js";
import type { FarmEffect, FarmEvent } from "./events.js";
import { reduceFarm } from "./farm.js";
import { emptyFarm, type Farm } from "./farm-state.js";
import type { NewJob } from "./job.js";
import { planFarm } from "./schedule.js";
import { decodeFarm, encodeFarm, type FarmPart, SNAPSHOT_VERSION } from "./snapshot.js";

const image = { key: "inputs/x", sha256: "0".repeat(64), size: 1 };

/** Through text, as a journal keeps it. */
function throughText(farm: Farm): Farm {
  const lines = [...encodeFarm(farm)].map((part) => JSON.stringify(part));
  return decodeFarm(lines.map((line) => JSON.parse(line) as FarmPart));
}

/** What happened, drawn as numbers: which kind, and which of the things that it can happen to. */
interface Draw {
  readonly kind: number;
  readonly which: number;
  readonly how: number;
  readonly passedMs: number;
}

/** The event of a draw, or null where nothing of the kind can happen now. */
type Happening = (farm: Farm, draw: Draw) => Record<string, unknown> | null;

const pick = <T>(items: Iterable<T>, index: number): T | null => {
  const all = [...items];
  return all[index % Math.max(all.length, 1)] ?? null;
};
const ofJob =
  (kind: string, more: (draw: Draw) => object = () => ({})): Happening =>
  (farm, draw) => {
    const jobId = pick(farm.jobs.keys(), draw.which);
    return jobId === null ? null : { kind, jobId, ...more(draw) };
  };
const ofNode =
  (kind: string, more: (draw: Draw) => object = () => ({})): Happening =>
  (farm, draw) => {
    const info = pick(farm.nodes.values(), draw.which)?.info;
    return info ? { kind, nodeId: info.nodeId, bootId: info.bootId, ...more(draw) } : null;
  };
/** A member of a grant speaks; now and then with an epoch that is over. */
const ofTask =
  (kind: string, more: (draw: Draw) => object): Happening =>
  (farm, draw) => {
    const granted = [...farm.tasks.values()].filter(({ state }) => state.kind === "granted");
    const task = pick(granted, draw.which);
    if (task?.state.kind !== "granted") return null;
    const nodeId = pick(task.state.members, draw.how)?.nodeId;
    const epoch = draw.how % 13 === 0 ? task.epoch - 1 : task.epoch;
    return { kind, taskId: task.taskId, nodeId, epoch, ...more(draw) };
  };
const checkpoint = ({ how }: Draw) => ({ step: 1 + (how % 3), blob: image });
const outputs = [{ format: "mp4", fileName: "clip.mp4", blob: image }];
const finished = ofTask("task-finished", ({ how }) => ({
  result: { blob: image, outputs, seconds: how / 7, secondsPerStep: how / 9 },
}));
const codes = ["runtime-failed", "numerical", "device-lost", "invalid-argument"];

function submitted(farm: Farm, { which, how }: Draw, jobNumber: number): Record<string, unknown> {
  const before = pick(farm.jobs.keys(), how);
  const job: NewJob = {
    jobId: `j${jobNumber}`,
    parameters: { ...jobParameters, seeds: [2n ** 64n - 1n - BigInt(which)] },
    images: Array.from({ length: 1 + (how % 2) }, () => image),
    modelDigest: node("x").model.digest,
    modelName: "demo",
    requestId: how % 3 === 0 ? `request ${which % 5}` : "",
    stepsTotal: 4,
    branch: null,
    preview: false,
    requestDigest: "",
    labels: how % 4 === 0 ? { shot: `${which}`, team: "blue" } : {},
    branchLatents: null,
    traceparent: null,
    owner: `owner ${which % 3}`,
    priority: (which % 3) * 50,
    startAfterMs: how % 5 === 0 ? 50_000 : null,
    deadlineMs: how % 7 === 0 ? 90_000 : null,
    dependsOn: how % 7 === 0 && before !== null ? [before] : [],
  };
  return { kind: "job-created", job };
}

const HAPPENINGS: readonly Happening[] = [
  (_farm, { which, how }) => ({
    kind: "node-joined",
    node: node(`n${which % 4}`, { bootId: `boot ${how}`, hasFfmpeg: which % 4 < 2 }),
  }),
  ofNode("node-left", ({ how }) => ({ stopped: how % 2 === 0 })),
  ofNode("node-stopping"),
  ofNode("node-drained"),
  ofNode("node-undrained"),
  ofJob("job-due"),
  ofJob("job-paused"),
  ofJob("job-resumed"),
  ofJob("job-prioritized", ({ how }) => ({ priority: how % 101 })),
  ofJob("job-cancelled"),
  ofJob("job-expired"),
  ofJob("job-retried", ({ how }) => ({
    what: how % 2 === 0 ? { kind: "job" } : { kind: "chunk", clipIndex: 0, chunkIndex: how % 3 },
  })),
  ofJob("job-swept"),
  ofJob("job-deleted"),
  finished,
  finished,
  finished,
  ofTask("task-failed", ({ how }) => ({ failure: { code: codes[how % 4], detail: "x" } })),
  ofTask("task-checkpointed", (draw) => ({ checkpoint: checkpoint(draw) })),
  ofTask("task-ending", () => ({})),
  ofTask("task-yielded", (draw) => ({
    checkpoint: draw.how % 2 === 0 ? null : checkpoint(draw),
  })),
  ofTask("pair-broken", () => ({ step: 1, reason: "late" })),
  ofJob("clip-published", ({ how }) => ({ clipIndex: how % 2, run: 1 })),
];

/** A farm with everything that happened to it, so that others can live through the same. */
class History {
  readonly farm = emptyFarm();
  readonly events: FarmEvent[] = [];
  nowMs = 1;
  #jobs = 0;

  /** @returns the events of the draw: what happened, and the grants and yields that follow */
  live(draw: Draw): { events: FarmEvent[]; effects: FarmEffect[] } {
    this.nowMs += draw.passedMs;
    const happened = this.#happening(draw);
    const before = this.events.length;
    const effects = happened ? this.#step(happened) : [];
    const { grants, yields } = planFarm(this.farm, { ownerAcceleratorsMax: null }, this.nowMs);
    for (const grant of grants) effects.push(...this.#step({ kind: "task-granted", ...grant }));
    for (const taskId of yields) {
      effects.push(...this.#step({ kind: "task-asked-to-yield", taskId }));
    }
    return { events: this.events.slice(before), effects };
  }

  #happening(draw: Draw): Record<string, unknown> | null {
    if (draw.kind === 0) return { kind: "farm-started" };
    if (draw.kind <= 4) return submitted(this.farm, draw, this.#jobs++);
    return HAPPENINGS[draw.kind % HAPPENINGS.length]!(this.farm, draw);
  }

  #step(occurrence: Record<string, unknown>): FarmEffect[] {
    const event = { ...occurrence, atMs: this.nowMs } as unknown as FarmEvent;
    this.events.push(event);
    return reduceFarm(this.farm, event);
  }
}

const draws = fc.array(
  fc.record({
    kind: fc.nat(60),
    which: fc.nat(1000),
    how: fc.nat(1000),
    passedMs: fc.nat(20_000),
  }),
  { minLength: 20, maxLength: 150, size: "max" },
);

describe("a farm from a snapshot", () => {
  test("is the farm, and the farm that a full replay gives", () => {
    fc.assert(
      fc.property(draws, (all) => {
        const history = new History();
        for (const draw of all) history.live(draw);
        const parts = [...encodeFarm(history.farm)];
        expect([...encodeFarm(throughText(history.farm))]).toEqual(parts);
        const replayed = emptyFarm();
        for (const event of history.events) reduceFarm(replayed, event);
        expect([...encodeFarm(throughText(replayed))]).toEqual(parts);
      }),
      { seed: 1, numRuns: 200, endOnFailure: true },
    );
  });

  test("does to the same events what the farm does, and plans the same", () => {
    fc.assert(
      fc.property(draws, draws, (before, after) => {
        const history = new History();
        for (const draw of before) history.live(draw);
        const twin = throughText(history.farm);
        for (const draw of after) {
          const { events, effects } = history.live(draw);
          expect(events.flatMap((event) => reduceFarm(twin, event))).toEqual(effects);
          const policy = { ownerAcceleratorsMax: null };
          const plans = [history.farm, twin].map((farm) => planFarm(farm, policy, history.nowMs));
          expect(plans[1]).toEqual(plans[0]);
        }
        expect([...encodeFarm(twin)]).toEqual([...encodeFarm(history.farm)]);
      }),
      { seed: 2, numRuns: 100, endOnFailure: true },
    );
  });

  test("is another farm: what happens to one changes nothing in the other", () => {
    const w = new FarmWorld(node("a"));
    w.submit("j");
    const twin = throughText(w.farm);
    const before = [...encodeFarm(twin)];
    w.finishUpTo("mux", "j");
    w.send({ kind: "node-stopping", nodeId: "a" });
    expect([...encodeFarm(twin)]).toEqual(before);
  });
});

test("the parts are of the moment of the call, whatever happens while they are taken", () => {
  const w = new FarmWorld(node("a"), node("b"));
  for (let i = 0; i < 100; i++) w.submit(`j${i}`, { options: { owner: `owner ${i % 3}` } });
  const atOnce = [...encodeFarm(w.farm)];
  const parts = encodeFarm(w.farm);
  w.finishUpTo("mux", "j0");
  w.send({ kind: "node-stopping", nodeId: "a" });
  w.send({ kind: "job-paused", jobId: "j7" });
  w.send({ kind: "job-cancelled", jobId: "j9" });
  expect([...parts]).toEqual(atOnce);
});

test("a snapshot of another format is refused by name", () => {
  const [head, ...rest] = [...encodeFarm(emptyFarm())];
  const newer = { ...head, version: SNAPSHOT_VERSION + 1 } as FarmPart;
  expect(() => decodeFarm([newer, ...rest])).toThrow(
    `[wrong-state] the snapshot is of format ${SNAPSHOT_VERSION + 1}, and this program reads ` +
      `format ${SNAPSHOT_VERSION}`,
  );
});

test("has these fields: where they change, SNAPSHOT_VERSION is to be raised", () => {
  const w = new FarmWorld(node("a"));
  w.submit("j");
  const fields = new Map<string, string>();
  for (const part of encodeFarm(w.farm)) {
    const first = part.of === "farm" ? part : [part.items[0]].flat().at(-1);
    if (typeof first === "object" && first !== null)
      fields.set(part.of, Object.keys(first).sort().join(" "));
  }
  expect(SNAPSHOT_VERSION).toBe(9);
  expect([...fields].map(([of, names]) => `${of}: ${names}`).join("\n")).toMatchInlineSnapshot(`
    "farm: of openJobCount openTaskCount version
    nodes: apart endingTaskId gpuTaskId info lastShape muxTaskId stopping
    nodeRecords: draining failedJobIds heldUntilMs lostAtMs quarantined
    jobs: admitted branch branchLatents createdAtMs deadlineMs dependsOn due endedAtMs failedOn images jobId labels modelDigest modelName owner parameters paused preview priority requestDigest requestId run startAfterMs startedAtMs state stepsTotal swept traceparent waitsFor
    clips: failure imageIndex index outputs remakes run state swept taskIds
    tasks: attempts checkpoint chunkIndex clipIndex endMs epoch failures firstGrantMs jobId kept memoryAboveBytes origin plans stage state taskId workedNodeIds"
  `);
});
