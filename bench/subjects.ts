/** @file What is measured: the demo and the golden checkpoints, each at the size of its tests. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** The checkout; this file runs from dist/bench. */
export const root = fileURLToPath(new URL("../..", import.meta.url));

export interface Subject {
  readonly name: string;
  readonly checkpoint: string;
  /** A picture to render. */
  readonly image: string;
  readonly height: number;
  readonly width: number;
  readonly frames: number;
}

const golden = (name: string, run: string) => ({
  name,
  checkpoint: join(root, "test", "golden", "data", name, "checkpoint"),
  image: join(root, "test", "golden", "data", name, "runs", run, "input0.png"),
});

export const SUBJECTS: readonly Subject[] = [
  {
    name: "demo",
    checkpoint: join(root, "checkpoints", "demo"),
    image: join(root, "checkpoints", "demo", "samples", "scene1.png"),
    height: 64,
    width: 64,
    frames: 14,
  },
  { ...golden("two-level", "plain"), height: 64, width: 96, frames: 7 },
  { ...golden("svd-shaped-fp16", "plain"), height: 64, width: 128, frames: 6 },
];
