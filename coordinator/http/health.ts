/** @file Whether this process lives, and whether it can keep a promise. */
import type { BlobStore } from "../../shared/ports/blob-store.js";
import type { FarmLoop } from "../shell/farm-loop.js";

export interface Readiness {
  readonly isReady: boolean;
  /** "ok", or what is wrong, by the name of the check. */
  readonly checks: Readonly<Record<string, string>>;
  /** For people; no node is no reason to take no job. */
  readonly nodes: number;
}

/**
 * Looks at the journal, the blob store and this process itself; nodes dial in, so none of them is
 * waited for.
 *
 * @param whyBehind as LoopWatch says it
 */
export async function checkReadiness(
  loop: FarmLoop,
  blobs: BlobStore,
  whyBehind: string | null,
): Promise<Readiness> {
  const [journal, store] = await Promise.all([
    outcomeOf(() => loop.settled()),
    outcomeOf(() => firstOf(blobs.list("v1/inputs/"))),
  ]);
  const checks = { journal, store, pace: whyBehind ?? "ok" };
  const isReady = Object.values(checks).every((outcome) => outcome === "ok");
  return { isReady, checks, nodes: loop.farm.nodes.size };
}

async function outcomeOf(check: () => Promise<unknown>): Promise<string> {
  try {
    await check();
    return "ok";
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

async function firstOf(entries: AsyncIterable<unknown>): Promise<void> {
  for await (const _entry of entries) return;
}
