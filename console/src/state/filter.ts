/** @file Which jobs are shown: all of them, or those with some labels. */
import { computed, effect, signal } from "@preact/signals";
import { api } from "../api/client.js";
import type { JobJson } from "../api/types.js";
import { hasLabels, labelsOf, selectorOnWire } from "../labels.js";
import { jobList, listings, listOlder, merge, olderToken, PAGE_SIZE } from "./farm.js";

/** "team=blue, shot": jobs with all of these labels; "": every job. */
export const selector = signal("");
/** What the farm says of a selector that is none. */
export const selectorProblem = signal("");
const isFiltered = computed(() => selectorOnWire(selector.value) !== "");
/** Whether there is anything to filter by. */
export const hasFilter = computed(
  () => selector.value !== "" || jobList.value.some((job) => Object.keys(labelsOf(job)).length > 0),
);

export const isShown = (job: JobJson): boolean => hasLabels(labelsOf(job), selector.value);

/** Where the next page of older jobs with the labels begins. */
const olderWithLabels = signal("");
export const hasOlder = computed(
  () => (isFiltered.value ? olderWithLabels.value : olderToken.value) !== "",
);

const LIST_AFTER_MS = 250;

/** Asks the farm for the newest jobs with the labels, once the hand rests: most may not be here yet. */
export function listWhileFiltering(): void {
  effect(() => {
    void listings.value;
    const asked = selectorOnWire(selector.value);
    selectorProblem.value = "";
    olderWithLabels.value = "";
    if (asked === "") return undefined;
    const timer = setTimeout(() => void listPage(asked, ""), LIST_AFTER_MS);
    return () => clearTimeout(timer);
  });
}

export function listOlderShown(): Promise<void> {
  if (!isFiltered.value) return listOlder();
  return listPage(selectorOnWire(selector.value), olderWithLabels.value);
}

async function listPage(asked: string, token: string): Promise<void> {
  const isStill = () => asked === selectorOnWire(selector.value);
  try {
    const page = await api.listJobs(token, PAGE_SIZE, asked);
    if (!isStill()) return;
    merge(page.jobs);
    olderWithLabels.value = page.nextPageToken;
  } catch (error) {
    if (isStill())
      selectorProblem.value = (error as Error).message.replace(/^label_selector: /, "");
  }
}
