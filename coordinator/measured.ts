/** @file Puts the meters on a coordinator's parts, or leaves them as they are. */
import type { ServerInterceptor } from "@grpc/grpc-js";
import type { Registry } from "prom-client";
import { grpcServerMetrics } from "../shared/adapters/metrics/grpc-server-metrics.js";
import { ObservedBlobStore } from "../shared/adapters/metrics/observed-blob-store.js";
import { observedJournal } from "../shared/adapters/metrics/observed-journal.js";
import { transferMetrics } from "../shared/adapters/metrics/transfer-metrics.js";
import type { BlobStore } from "../shared/ports/blob-store.js";
import type { Clock } from "../shared/ports/clock.js";
import type { Journal } from "../shared/ports/journal.js";
import type { FarmObserver } from "./shell/farm-observer.js";
import { FarmMetrics } from "./shell/metrics.js";

export interface MeasurableParts {
  /** Null: nothing is measured. */
  readonly registry: Registry | null;
  readonly journal: Journal;
  readonly blobs: BlobStore;
  readonly clock: Clock;
  /** Milliseconds since 1970. */
  readonly wallMs: () => number;
  /** Milliseconds since the longest silent node was heard. */
  readonly silenceMs: () => number;
}

export interface MeasuredParts {
  readonly journal: Journal;
  readonly blobs: BlobStore;
  readonly observer: FarmObserver | null;
  readonly interceptors: ServerInterceptor[];
}

export function measured(parts: MeasurableParts): MeasuredParts {
  const { registry, journal, blobs, clock, wallMs, silenceMs } = parts;
  if (!registry) return { journal, blobs, observer: null, interceptors: [] };
  const transfers = transferMetrics(registry);
  const farm = new FarmMetrics({ registry, wallMs, silenceMs, isLeader: () => true });
  const journalObserver = {
    appended: (seconds: number) => farm.appended(seconds),
    failed: transfers.failed.bind(null, "journal"),
  };
  return {
    journal: observedJournal(journal, journalObserver, clock),
    blobs: new ObservedBlobStore(blobs, "store", transfers, clock),
    observer: farm,
    interceptors: [grpcServerMetrics(registry, clock)],
  };
}
