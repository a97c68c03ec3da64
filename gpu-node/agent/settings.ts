/** @file The settings of a node process, from its flags and environment; flags go first. */
import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import { NODE_ID_PATTERN } from "../../shared/adapters/grpc/wire-checks.js";
import { BLOBS_FORM, isBlobsUrl } from "../../shared/adapters/open-blob-store.js";
import type { TlsPaths } from "../../shared/adapters/tls/tls-files.js";
import { parseBytes } from "../../shared/core/bytes.js";
import { isLoopback } from "../../shared/core/endpoint.js";
import { NUM_FRAMES } from "../../shared/farm/limits.js";
import { NODE_PREFERENCES, type NodePreference } from "../../shared/farm/work.js";
import { readMetricsAddress } from "../../shared/settings/metrics-address.js";
import { type Environment, SettingReader } from "../../shared/settings/setting-reader.js";
import { readTlsPaths, TLS_FLAGS } from "../../shared/settings/tls-settings.js";
import {
  DTYPE_CHOICES,
  type DtypeChoice,
  PROVIDER_CHOICES,
  type ProviderChoice,
} from "../runtime/provider.js";
import { BUS_FORM, isBusUrl } from "./open-bus.js";

export interface NodeSettings {
  /** host:port of the coordinator, on this machine without TLS; of each of several, with commas. */
  readonly coordinator: string;
  /** A diffusers folder. */
  readonly checkpoint: string;
  /** The farm's blob store, as the coordinator has it: file:DIR or s3://... */
  readonly blobs: string;
  /** A DNS label; unique in the farm. */
  readonly nodeId: string;
  /** Threads of one run of a graph. */
  readonly threads: number;
  /** What runs the graphs. */
  readonly provider: ProviderChoice;
  /** What graphs compute in. */
  readonly dtype: DtypeChoice;
  /** Which files of the checkpoint: "auto" takes those without a variant, else the fp16 ones. */
  readonly variant: "auto" | "fp32" | "fp16";
  /** How halves go from node to node: tcp, or nats://... */
  readonly bus: string;
  /** Where the tensor bus listens; port 0 takes a free one. */
  readonly busListen: string;
  /** host:port under which partners reach the tensor bus; null: where it listens. */
  readonly busAdvertise: string | null;
  /** Keeps the models of the stage at hand only. */
  readonly offload: boolean;
  /** Frames that feed-forward networks compute at a time; null: as the provider likes it. */
  readonly forwardChunkSize: number | null;
  /** Bytes that the runtime may use; null: what the machine has, or its container. */
  readonly memoryBytes: number | null;
  /** The work it takes first when several kinds wait. */
  readonly prefers: NodePreference;
  /** HOST:PORT of /metrics, /healthz and /readyz; null: there is no such port. */
  readonly metrics: string | null;
  readonly logLevel: string;
  /** Null: the node and its coordinator are on one machine. */
  readonly tls: TlsPaths | null;
}

export const USAGE = `usage: node dist/gpu-node/main.js [flags]

  --coordinator HOST:PORT    where the coordinator listens; of     RENDERFARM_COORDINATOR
                             several that stand by: A,B
  --checkpoint DIR           diffusers folder to serve             RENDERFARM_CHECKPOINT
  --blobs URL                the farm's blob store, file:DIR or    RENDERFARM_BLOBS
                             s3://BUCKET[/PREFIX]?endpoint=...
  --blob-dir DIR             the same as --blobs file:DIR          RENDERFARM_BLOB_DIR
  --node-id ID               name in the farm (HOSTNAME-PID)       RENDERFARM_NODE_ID
  --threads N                threads of a run (1)                  RENDERFARM_THREADS
  --provider NAME            cpu, webgpu, cuda, tensorrt or auto:  RENDERFARM_PROVIDER
                             what runs graphs (cpu)
  --dtype NAME               float32, float16 or auto (auto):      RENDERFARM_DTYPE
                             what graphs compute in
  --variant NAME             auto, fp32 or fp16 (auto)             RENDERFARM_VARIANT
  --bus HOW                  tcp (default): from node to node, or  RENDERFARM_BUS
                             nats://HOST:PORT?ca=FILE: by a server
  --bus-listen HOST:PORT     where halves come in (127.0.0.1:0)    RENDERFARM_BUS_LISTEN
  --bus-advertise HOST:PORT  what partners dial (bus-listen)       RENDERFARM_BUS_ADVERTISE
  --memory BYTES             what the runtime may use, as 24GiB   RENDERFARM_MEMORY
                             (all that the machine has)
  --offload                  keeps the models of one stage only:   RENDERFARM_OFFLOAD=1
                             less memory, loading at each change
  --forward-chunk-size N     frames that the feed-forward          RENDERFARM_FORWARD_CHUNK_SIZE
                             networks compute at a time (all)
  --prefer KIND              denoise, decode or any (any): taken   RENDERFARM_PREFER
                             first when both wait, else anything
  --tls-ca FILE              roots that are trusted                RENDERFARM_TLS_CA
  --tls-cert FILE            this node's certificate               RENDERFARM_TLS_CERT
  --tls-key FILE             its key                               RENDERFARM_TLS_KEY
  --metrics HOST:PORT        /metrics, /healthz, /readyz (none)   RENDERFARM_METRICS
  --help                     print this and exit

RENDERFARM_S3_ACCESS_KEY, RENDERFARM_S3_SECRET_KEY: for s3://, or files that ..._FILE name.
RENDERFARM_S3_SESSION_TOKEN: beside keys that are temporary, or a file that ..._FILE names.
RENDERFARM_NATS_NKEY_SEED: this role's key for nats://, or a file that ..._FILE names.
LOG_LEVEL: trace, debug, info (default), warn, error, fatal or silent.
Exit codes: 0 stopped, 1 broke down, 2 bad settings or checkpoint.
`;

const LOG_LEVELS = ["trace", "debug", "info", "warn", "error", "fatal", "silent"];
const VARIANTS = ["auto", "fp32", "fp16"] as const;
/** More than any machine has; the point is to catch a typing error. */
const THREADS_MAX = 1_024;
const ADDRESS_PATTERN = /^(?:\[[0-9a-f:.]+\]|[A-Za-z0-9.-]+):(\d{1,5})$/;

const FLAGS = {
  coordinator: { type: "string" },
  checkpoint: { type: "string" },
  blobs: { type: "string" },
  "blob-dir": { type: "string" },
  "node-id": { type: "string" },
  threads: { type: "string" },
  provider: { type: "string" },
  dtype: { type: "string" },
  variant: { type: "string" },
  bus: { type: "string" },
  "bus-listen": { type: "string" },
  "bus-advertise": { type: "string" },
  memory: { type: "string" },
  offload: { type: "boolean" },
  "forward-chunk-size": { type: "string" },
  prefer: { type: "string" },
  ...TLS_FLAGS,
  metrics: { type: "string" },
  help: { type: "boolean" },
} as const;

/**
 * @param args the command line after the script's name
 * @returns null when help was asked for
 * @throws FarmError "invalid-argument" with every wrong setting at once
 */
export function readSettings(args: readonly string[], env: Environment): NodeSettings | null {
  const readFile = (path: string) => readFileSync(path, "utf8");
  const reader = new SettingReader(FLAGS, { args, env, readFile });
  if (reader.isSet("help")) return null;
  const settings = {
    coordinator: reader.text("coordinator"),
    checkpoint: reader.text("checkpoint"),
    blobs: blobsOf(reader),
    nodeId: reader.text("node-id", defaultNodeId()),
    threads: reader.integer("threads", [1, THREADS_MAX], 1),
    provider: reader.choice("provider", PROVIDER_CHOICES, "cpu"),
    dtype: reader.choice("dtype", DTYPE_CHOICES, "auto"),
    variant: reader.choice("variant", VARIANTS, "auto"),
    bus: reader.text("bus", "tcp"),
    busListen: reader.text("bus-listen", "127.0.0.1:0"),
    busAdvertise: reader.optional("bus-advertise"),
    memoryBytes: readMemory(reader),
    offload: reader.isSet("offload"),
    forwardChunkSize: readForwardChunkSize(reader),
    prefers: reader.choice("prefer", NODE_PREFERENCES, "any"),
    metrics: readMetricsAddress(reader),
    logLevel: env["LOG_LEVEL"] || "info",
    tls: readTlsPaths(reader),
  };
  const { coordinator, nodeId, bus, busListen, busAdvertise, logLevel } = settings;
  const hasTls = settings.tls !== null;
  const check = (field: string, address: string, portMin: number) =>
    checkAddress(reader, field, address, { portMin, hasTls });
  for (const address of coordinator === "" ? [] : coordinator.split(",")) {
    check("--coordinator", address, 1);
  }
  reader.check("--bus", isBusUrl(bus), `"${bus}" is not ${BUS_FORM}`);
  const isAdvertised = busAdvertise === null || bus === "tcp";
  reader.check("--bus-advertise", isAdvertised, "only sockets (--bus tcp) are advertised");
  check("--bus-listen", busListen, 0);
  if (busAdvertise !== null) check("--bus-advertise", busAdvertise, 1);
  const label = "1 to 63 characters of [a-z0-9-] without a dash at the ends";
  reader.check("--node-id", NODE_ID_PATTERN.test(nodeId), `"${nodeId}" is not ${label}`);
  const levels = LOG_LEVELS.join(", ");
  reader.check("LOG_LEVEL", LOG_LEVELS.includes(logLevel), `"${logLevel}" is not one of ${levels}`);
  reader.done();
  return settings;
}

/** Without TLS neither the node's stream nor its tensor bus may leave the machine. */
function checkAddress(
  reader: SettingReader,
  field: string,
  address: string,
  { portMin, hasTls }: { readonly portMin: number; readonly hasTls: boolean },
): void {
  const port = Number(ADDRESS_PATTERN.exec(address)?.[1]);
  const isAddress = port >= portMin && port <= 65_535;
  reader.check(field, isAddress, `"${address}" is not HOST:PORT`);
  if (!isAddress) return;
  const loopback = "other machines want TLS: --tls-ca, --tls-cert, --tls-key";
  reader.check(field, hasTls || isLoopback(address), `"${address}" is not loopback; ${loopback}`);
}

/** `--blob-dir DIR` is an older name of `--blobs file:DIR`. */
function blobsOf(reader: SettingReader): string {
  const folder = reader.optional("blob-dir");
  const blobs = reader.optional("blobs") ?? (folder && `file:${folder}`);
  const isDouble = folder !== null && blobs !== `file:${folder}`;
  reader.check("--blobs", !isDouble, "is given beside --blob-dir; give one of them");
  if (blobs === null) reader.refuse("--blobs", `is missing; give ${BLOBS_FORM}`);
  else reader.check("--blobs", isBlobsUrl(blobs), `"${blobs}" is not ${BLOBS_FORM}`);
  return blobs ?? "";
}

function readForwardChunkSize(reader: SettingReader): number | null {
  const flag = "forward-chunk-size";
  if (reader.optional(flag) === null) return null;
  return reader.integer(flag, [NUM_FRAMES.min, NUM_FRAMES.max], NUM_FRAMES.min);
}

function readMemory(reader: SettingReader): number | null {
  const text = reader.optional("memory");
  if (text === null) return null;
  const bytes = parseBytes(text);
  const legal = "an amount of memory such as 24GiB, 512MiB or 8000000000";
  reader.check("--memory", bytes !== null, `"${text}" is not ${legal}`);
  return bytes;
}

/** The host's name in the characters of a DNS label, and this process. */
function defaultNodeId(): string {
  const host = hostname()
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-+|-+$/g, "");
  return `${host.slice(0, 40).replace(/-+$/, "") || "node"}-${process.pid}`;
}
