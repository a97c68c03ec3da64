/** @file What every overlay is held to, each by its name; what it finds wrong, and [] where all is well. */
import type { KubeObject } from "../overlays.js";
import { budgets, draining, gpus, scaling, spread } from "./availability.js";
import { defaultDeny, doors, members, ports, reach } from "./network.js";
import { images, probes, resources, restricted } from "./pods.js";
import { names, references, settings, volumes } from "./references.js";
import { runbooks } from "./runbooks.js";
import { schemas } from "./schemas.js";
import { secrets } from "./secrets.js";

export type Policy = (objects: readonly KubeObject[]) => string[];

export const POLICIES = {
  ...{ schemas, names, references, volumes, settings },
  ...{ images, resources, restricted, probes, secrets },
  ...{ ports, "default deny": defaultDeny, reach, doors, members },
  ...{ budgets, spread, draining, gpus, scaling, runbooks },
} satisfies Readonly<Record<string, Policy>>;

export type PolicyName = keyof typeof POLICIES;
