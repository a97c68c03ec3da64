/** @file I4: who owns what lies in the store, said apart from production. */
import type { Farm } from "../../coordinator/plan/farm-state.js";
import type { SimStore } from "./store.js";
import { hold } from "./violation.js";

const FINISHED = /\/(out-\d+\/[^/]+|manifest-\d+\.json)$/;

/** Whether a job of the farm still has a use for a blob. */
function isOwned(farm: Farm, key: string): boolean {
  const [, first, ...rest] = key.split("/");
  if (first !== "inputs") {
    const job = farm.jobs.get(first ?? "");
    return job !== undefined && (!job.swept || FINISHED.test(`/${rest.join("/")}`));
  }
  return [...farm.jobs.values()].some(
    ({ images, branchLatents }) =>
      branchLatents?.key === key || images.some((image) => image.key === key),
  );
}

/** What the janitor removes belongs to nobody, also after a restart. */
export function checkRemoval(farm: Farm, key: string): void {
  hold(!isOwned(farm, key), "I4", () => `the janitor removes ${key}, which has an owner`);
}

/** After the janitor's round. */
export function checkNoOrphans(farm: Farm, store: SimStore): void {
  for (const key of store.blobs.keys()) {
    hold(isOwned(farm, key), "I4", () => `${key} belongs to nobody and is still there`);
  }
}
