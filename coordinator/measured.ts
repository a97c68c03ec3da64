/**
 * @file The meters of a coordinator process. One set a process: it lives on while the process leads,
 * stands by and leads again, each time with another farm in memory.
 */
import type { ServerInterceptor } from "@grpc/grpc-js";
import type { Registry } from "prom-client";
import { grpcServerMetrics } from "../shared/adapters/metrics/grpc-server-metrics.js";
import { ObservedBlobStore } from "../shared/adapters/metrics/observed-blob-store.js";
import { observedJournal } from "../shared/adapters/metrics/observed-journal.js";
import { transferMetrics } from "../shared/adapters/metrics/transfer-metrics.js";
import type { BlobStore } from "../shared/ports/blob-store.js";
import type { Clock } from "../shared/ports/clock.js";
import type { Journal } from "../shared/ports/journal.js";
import type { TransferObserver } from "../shared/ports/transfer-observer.js";
import { FarmMetrics } from "./shell/metrics.js";

export class CoordinatorMeters {
  /** Counts every call; for the options of the server. */
  readonly interceptor: ServerInterceptor;
  readonly farm: FarmMetrics;
  readonly #clock: Pick<Clock, "nowMs">;
  readonly #transfers: TransferObserver;

  /** @param wallMs milliseconds since 1970 */
  constructor(registry: Registry, clock: Pick<Clock, "nowMs">, wallMs: () => number) {
    this.#clock = clock;
    this.#transfers = transferMetrics(registry);
    this.farm = new FarmMetrics(registry, wallMs);
    this.interceptor = grpcServerMetrics(registry, clock);
  }

  journal(journal: Journal): Journal {
    const observer = {
      appended: (seconds: number) => this.farm.appended(seconds),
      failed: this.#transfers.failed.bind(null, "journal"),
    };
    return observedJournal(journal, observer, this.#clock);
  }

  /** @param transport "files" or "s3" */
  blobs(store: BlobStore, transport: string): BlobStore {
    return new ObservedBlobStore(store, transport, this.#transfers, this.#clock);
  }
}
