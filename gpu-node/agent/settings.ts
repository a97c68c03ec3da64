/** @file The settings of a node process, from its flags and environment; flags go first. */
import { hostname } from "node:os";
import { parseArgs } from "node:util";
import { NODE_ID_PATTERN } from "../../shared/adapters/grpc/wire-checks.js";
import { FarmError, refuseViolations, type Violation } from "../../shared/core/errors.js";

export interface NodeSettings {
  /** host:port of the coordinator, on this machine. */
  readonly coordinator: string;
  /** A diffusers folder. */
  readonly checkpoint: string;
  /** Folder of the farm's blob store; it must be there, since the coordinator makes it. */
  readonly blobDir: string;
  /** A DNS label; unique in the farm. */
  readonly nodeId: string;
  /** Threads of one run of a graph. */
  readonly threads: number;
  /** Which files of the checkpoint: "auto" takes those without a variant, else the fp16 ones. */
  readonly variant: "auto" | "fp32" | "fp16";
  /** Where the tensor bus listens; port 0 takes a free one. */
  readonly busListen: string;
  /** host:port under which partners reach the tensor bus; null: where it listens. */
  readonly busAdvertise: string | null;
  readonly logLevel: string;
}

export const USAGE = `usage: node dist/gpu-node/main.js [flags]

  --coordinator HOST:PORT    where the coordinator listens         RENDERFARM_COORDINATOR
  --checkpoint DIR           diffusers folder to serve             RENDERFARM_CHECKPOINT
  --blob-dir DIR             folder of the farm's blob store       RENDERFARM_BLOB_DIR
  --node-id ID               name in the farm (HOSTNAME-PID)       RENDERFARM_NODE_ID
  --threads N                threads of a run (1)                  RENDERFARM_THREADS
  --variant NAME             auto, fp32 or fp16 (auto)             RENDERFARM_VARIANT
  --bus-listen HOST:PORT     where halves come in (127.0.0.1:0)    RENDERFARM_BUS_LISTEN
  --bus-advertise HOST:PORT  what partners dial (bus-listen)       RENDERFARM_BUS_ADVERTISE
  --help                     print this and exit

LOG_LEVEL: trace, debug, info (default), warn, error, fatal or silent.
Exit codes: 0 stopped, 1 broke down, 2 bad settings or checkpoint.
`;

type Environment = Readonly<Record<string, string | undefined>>;

const LOG_LEVELS = ["trace", "debug", "info", "warn", "error", "fatal", "silent"];
const VARIANTS = ["auto", "fp32", "fp16"] as const;
/** More than any machine has; the point is to catch a typing error. */
const THREADS_MAX = 1_024;
/** A node's stream and its tensor bus have no TLS yet, so they must not leave the machine. */
const LOOPBACK_PATTERN = /^(?:127\.0\.0\.1|localhost|\[::1\]):(\d{1,5})$/;

const FLAGS = {
  coordinator: { type: "string" },
  checkpoint: { type: "string" },
  "blob-dir": { type: "string" },
  "node-id": { type: "string" },
  threads: { type: "string" },
  variant: { type: "string" },
  "bus-listen": { type: "string" },
  "bus-advertise": { type: "string" },
  help: { type: "boolean" },
} as const;

/**
 * @param args the command line after the script's name
 * @returns null when help was asked for
 * @throws FarmError "invalid-argument" with every wrong setting at once
 */
export function readSettings(args: readonly string[], env: Environment): NodeSettings | null {
  const flags = parseFlags(args);
  if (flags.help) return null;
  const violations: Violation[] = [];
  const setting = (name: Exclude<keyof typeof FLAGS, "help">, otherwise?: string): string => {
    const variable = `RENDERFARM_${name.toUpperCase().replaceAll("-", "_")}`;
    const value = flags[name] ?? (env[variable] || otherwise);
    if (value) return value;
    const description = `is missing; give --${name} or set ${variable}`;
    violations.push({ field: `--${name}`, description });
    return "";
  };
  const check = (field: string, isLegal: boolean, description: string): void => {
    if (!isLegal) violations.push({ field, description });
  };

  const coordinator = setting("coordinator");
  const checkpoint = setting("checkpoint");
  const blobDir = setting("blob-dir");
  const nodeId = setting("node-id", defaultNodeId());
  const threads = setting("threads", "1");
  const variant = setting("variant", "auto");
  const busListen = setting("bus-listen", "127.0.0.1:0");
  const busAdvertise = flags["bus-advertise"] ?? (env["RENDERFARM_BUS_ADVERTISE"] || null);
  const logLevel = env["LOG_LEVEL"] || "info";

  const checkAddress = (field: string, address: string, portMin: number): void => {
    const port = Number(LOOPBACK_PATTERN.exec(address)?.[1]);
    const loopback = "127.0.0.1:PORT; other machines want TLS, which a node has not";
    check(field, port >= portMin && port <= 65_535, `"${address}" is not ${loopback}`);
  };
  if (coordinator !== "") checkAddress("--coordinator", coordinator, 1);
  checkAddress("--bus-listen", busListen, 0);
  if (busAdvertise !== null) checkAddress("--bus-advertise", busAdvertise, 1);
  const label = "1 to 63 characters of [a-z0-9-] without a dash at the ends";
  check("--node-id", NODE_ID_PATTERN.test(nodeId), `"${nodeId}" is not ${label}`);
  const isCount = /^\d+$/.test(threads) && Number(threads) >= 1 && Number(threads) <= THREADS_MAX;
  check("--threads", isCount, `"${threads}" is not an integer from 1 to ${THREADS_MAX}`);
  const isVariant = (VARIANTS as readonly string[]).includes(variant);
  check("--variant", isVariant, `"${variant}" is not one of ${VARIANTS.join(", ")}`);
  const levels = LOG_LEVELS.join(", ");
  check("LOG_LEVEL", LOG_LEVELS.includes(logLevel), `"${logLevel}" is not one of ${levels}`);
  refuseViolations(violations);
  return {
    ...{ coordinator, checkpoint, blobDir, nodeId, busListen, busAdvertise, logLevel },
    threads: Number(threads),
    variant: variant as NodeSettings["variant"],
  };
}

function parseFlags(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: FLAGS, strict: true }).values;
  } catch (error) {
    // An unknown flag, a flag without its value, or a word that belongs to no flag.
    throw new FarmError("invalid-argument", (error as Error).message, { cause: error });
  }
}

/** The host's name in the characters of a DNS label, and this process. */
function defaultNodeId(): string {
  const host = hostname()
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-+|-+$/g, "");
  return `${host.slice(0, 40).replace(/-+$/, "") || "node"}-${process.pid}`;
}
