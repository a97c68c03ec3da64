/** @file A coordinator in this process with its HTTP edge on loopback, one node joined, time by hand. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pino from "pino";
import { onTestFinished } from "vitest";
import type { Access } from "../../coordinator/access/access.js";
import { type Coordinator, startCoordinator } from "../../coordinator/coordinator.js";
import type { NodeInfo } from "../../coordinator/plan/node.js";
import { POLICY_DEFAULT } from "../../coordinator/shell/farm-loop.js";
import { ManualClock } from "../../shared/adapters/clock/manual-clock.js";
import { MemoryJournal } from "../../shared/adapters/memory/memory-journal.js";
import { createMemoryBlobs, type MemoryBlobs } from "../golden/memory-blobs.js";
import { PICTURE_HEAD } from "../plan/picture-head.js";

export const NODE: NodeInfo = {
  nodeId: "node-a",
  bootId: "b".repeat(26),
  model: {
    ...{ digest: "d".repeat(64), name: "demo", numFrames: 14, sampleSize: 16 },
    ...{ vaeScaleFactor: 4, latentChannels: 4, numTrainTimesteps: 1000 },
    stepRule: "as-asked",
  },
  ...{ provider: "cpu", planHash: "p", busAddress: "127.0.0.1:9", busToken: "t", hasFfmpeg: true },
  ...{ memoryBytes: 0, prefers: "any" },
};

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
}

/** What a request has beside its path. */
export interface Asked {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
}

export class Gateway {
  readonly coordinator: Coordinator;
  readonly clock: ManualClock;
  readonly blobs: MemoryBlobs;

  constructor(coordinator: Coordinator, clock: ManualClock, blobs: MemoryBlobs) {
    this.coordinator = coordinator;
    this.clock = clock;
    this.blobs = blobs;
  }

  get loop(): Coordinator["loop"] {
    return this.coordinator.loop;
  }

  get url(): string {
    return `http://${this.coordinator.httpAddress}`;
  }

  /** By node:http: fetch allows neither a Host header nor a broken request. */
  ask(path: string, { method = "GET", headers = {}, body }: Asked = {}): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const sent = request(`${this.url}${path}`, { method, headers, agent: false }, (response) => {
        const pieces: Buffer[] = [];
        response.on("data", (piece: Buffer) => pieces.push(piece));
        response.on("end", () => {
          const { statusCode: status = 0, headers: got } = response;
          resolve({ status, headers: got, body: Buffer.concat(pieces) });
        });
        response.on("error", reject);
      });
      sent.on("error", reject);
      sent.end(body);
    });
  }

  async json<T>(path: string, asked: Asked = {}): Promise<{ status: number; json: T }> {
    const { status, body } = await this.ask(path, asked);
    return { status, json: JSON.parse(body.toString()) as T };
  }

  post<T>(path: string, body: object = {}): Promise<{ status: number; json: T }> {
    const headers = { "content-type": "application/json" };
    return this.json<T>(path, { method: "POST", headers, body: JSON.stringify(body) });
  }

  /** A job of one uploaded picture, always the same one. */
  async createJob(parameters: object = {}, more: object = {}): Promise<string> {
    const { json } = await this.json<{ blob: object }>("/v1/inputs", {
      method: "POST",
      body: PICTURE_HEAD,
    });
    const made = await this.post<{ job: { jobId: string } }>("/v1/jobs", {
      images: [json.blob],
      parameters,
      ...more,
    });
    return made.json.job.jobId;
  }
}

export interface GatewayParts {
  readonly access?: Access;
  /** Files of a built console, by their paths. */
  readonly console?: Readonly<Record<string, string>>;
  readonly log?: pino.Logger;
  readonly stalledMs?: number;
}

/** Started for one test, stopped with it. */
export async function startGateway(parts: GatewayParts = {}): Promise<Gateway> {
  const clock = new ManualClock();
  const blobs = createMemoryBlobs();
  const consoleFolder = mkdtempSync(join(tmpdir(), "renderfarm-console-"));
  for (const [path, text] of Object.entries(parts.console ?? {})) {
    mkdirSync(join(consoleFolder, path, ".."), { recursive: true });
    writeFileSync(join(consoleFolder, path), text);
  }
  const coordinator = await startCoordinator({
    ...{ listen: "127.0.0.1:0", journal: new MemoryJournal(), blobs, clock },
    ...{ policy: POLICY_DEFAULT, log: parts.log ?? pino({ enabled: false }) },
    wallMs: () => 1_000 + clock.nowMs(),
    http: {
      ...{ listen: "127.0.0.1:0", consoleFolder, version: "1.2.3" },
      ...(parts.stalledMs === undefined ? {} : { stalledMs: parts.stalledMs }),
    },
    access: parts.access ?? null,
    onBroken: (error) => {
      throw error;
    },
  });
  onTestFinished(async () => {
    const stopped = coordinator.stop();
    clock.advance(60_000);
    await stopped;
    rmSync(consoleFolder, { recursive: true });
  });
  await coordinator.loop.dispatch({ kind: "node-joined", node: NODE });
  return new Gateway(coordinator, clock, blobs);
}
