/** @file What `renderfarm doctor` looks at, one by one, and what to do where it fails. */
import { randomUUID } from "node:crypto";
import { listSupportedBackends } from "onnxruntime-node";
import { recognizeStructure } from "../gpu-node/checkpoint/published-structures.js";
import { findFfmpeg } from "../gpu-node/stages/media/find-ffmpeg.js";
import { systemClock } from "../shared/adapters/clock/system-clock.js";
import { isNatsUrl } from "../shared/adapters/nats/nats-location.js";
import { openNats } from "../shared/adapters/nats/open-nats.js";
import { openBlobStore } from "../shared/adapters/open-blob-store.js";
import { asFarmError, FarmError, refuseViolations, type Violation } from "../shared/core/errors.js";
import { silentLog } from "../shared/ports/log.js";
import { checkGraphs, defaultsOf, openForRequest } from "./check-checkpoint.js";
import { type ConnectionFlags, connect, withWayOut } from "./connection.js";
import { type OutputFlags, printList } from "./output.js";

export interface DoctorFlags extends ConnectionFlags, OutputFlags {
  readonly checkpoint?: string;
  readonly journal?: string;
  readonly blobs?: string;
}

/** What was found of one thing. */
interface Finding {
  readonly check: string;
  /** skip: nothing is set that could be looked at. */
  readonly result: "ok" | "FAIL" | "skip";
  readonly detail: string;
}

/** How long a server may take to answer. */
const NATS_MS_MAX = 3_000;

/** @throws FarmError "tool-failed" when anything fails; the findings are printed first */
export async function doctor(flags: DoctorFlags): Promise<void> {
  const findings = [
    await find("tls", () => checkTls(flags)),
    await find("farm", () => checkFarm(flags)),
    await find("nats", () => checkNats(flags.journal)),
    await find("blobs", () => checkBlobs(flags.blobs)),
    await find("model", () => checkModel(flags.checkpoint)),
    await find("provider", checkProviders),
    await find("ffmpeg", checkFfmpeg),
  ];
  printList(findings, flags, {
    columns: [
      { heading: "CHECK", cell: ({ check }) => check },
      { heading: "RESULT", cell: ({ result }) => result },
      { heading: "DETAIL", cell: ({ detail }) => detail },
    ],
    name: ({ check }) => check,
  });
  const failed = findings.filter(({ result }) => result === "FAIL").map(({ check }) => check);
  if (failed.length > 0) throw new FarmError("tool-failed", `not in order: ${failed.join(", ")}`);
}

/** A check says what it found; null: there is nothing to look at; what it throws is what is wrong. */
async function find(check: string, look: () => Promise<string | Skip>): Promise<Finding> {
  try {
    const found = await look();
    if (typeof found === "string") return { check, result: "ok", detail: found };
    return { check, result: "skip", detail: found.skip };
  } catch (error) {
    return { check, result: "FAIL", detail: asFarmError(error).detail.replace(/\s+/g, " ") };
  }
}

interface Skip {
  readonly skip: string;
}

async function checkTls(flags: ConnectionFlags): Promise<string | Skip> {
  const client = connect(flags);
  client.close();
  const ca = flags.tlsCa;
  if (ca === undefined) return { skip: "no --tls-ca: plain, which a farm takes on loopback only" };
  return `the farm has to show a certificate of ${ca}`;
}

async function checkFarm(flags: ConnectionFlags): Promise<string> {
  const client = connect(flags);
  try {
    const { nodes, models } = await client.getFarm().catch((error: unknown) => {
      throw withWayOut(error);
    });
    const connected = nodes.filter((node) => node.connected).length;
    const served = models.map(({ name }) => name).join(", ");
    if (connected > 0) return `${client.address}: ${connected} nodes, serving ${served}`;
    const way = "start one with gpu-node/main.js --coordinator, or look at its log";
    throw new FarmError(
      "wrong-state",
      `${client.address} answers, but no node is connected; ${way}`,
    );
  } finally {
    client.close();
  }
}

async function checkNats(url: string | undefined): Promise<string | Skip> {
  if (url === undefined || !isNatsUrl(url)) return { skip: "no --journal nats://...: not used" };
  const options = {
    ...{
      flag: "--journal",
      env: process.env,
      clock: systemClock,
      wallMs: Date.now,
      log: silentLog,
    },
    ...{ onCertificate: () => {}, connectMs: NATS_MS_MAX },
  };
  const who = { role: "coordinator", name: "renderfarm doctor" } as const;
  const { client, location } = await openNats(url, who, options);
  const bytes = client.payloadBytesMax;
  await client.close();
  return `${location.connection.servers.join(", ")} takes messages of ${bytes} bytes`;
}

/** Writes, reads and removes one blob. */
async function checkBlobs(url: string | undefined): Promise<string | Skip> {
  if (url === undefined) return { skip: "no --blobs: nothing to write to" };
  const store = await openBlobStore(url, { env: process.env, log: silentLog, role: "uses" });
  const text = randomUUID();
  const ref = await store.put(`v1/doctor/${text}`, Buffer.from(text));
  const back = Buffer.from(await store.get(ref)).toString();
  await store.remove(ref.key);
  if (back === text) return `${new URL(url).protocol}// was written, read and cleaned again`;
  throw new FarmError("blob-corrupt", "what was written came back as something else");
}

async function checkModel(folder: string | undefined): Promise<string | Skip> {
  if (folder === undefined) return { skip: "no --checkpoint: nothing to look at" };
  const violations: Violation[] = [];
  const opened = await openForRequest(folder, "auto", violations);
  if (opened) checkGraphs(opened, defaultsOf(opened.model), violations, { onProcessor: false });
  refuseViolations(violations);
  const structure = recognizeStructure(opened!.checkpoint);
  const like = structure === null ? "a structure of its own" : `the structure of ${structure}`;
  return `${folder}: every file and parameter is there, ${opened!.model.numFrames} frames, ${like}`;
}

async function checkProviders(): Promise<string> {
  const names = listSupportedBackends()
    .filter(({ bundled }) => bundled)
    .map(({ name }) => name);
  if (names.includes("cpu")) return names.join(", ");
  throw new FarmError("tool-failed", "onnxruntime does not load; install the package anew");
}

async function checkFfmpeg(): Promise<string> {
  const ffmpeg = await findFfmpeg();
  if (ffmpeg) return `${ffmpeg.path} ${ffmpeg.version}`;
  const way = "install ffmpeg, or set RENDERFARM_FFMPEG; gif, webp, png and safetensors go without";
  throw new FarmError("tool-failed", `mp4 cannot be written: ${way}`);
}
