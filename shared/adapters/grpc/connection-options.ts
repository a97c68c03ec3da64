/**
 * @file Settings of every gRPC connection of the farm, with the reason of each number.
 *
 * @source @grpc/grpc-js README, "Supported Channel Options"; its defaults: no client keepalive,
 *   4 MiB received at most, nothing bounded on the way out.
 */
import { isIP } from "node:net";
import type { ChannelOptions } from "@grpc/grpc-js";
import { endpointOf } from "../../core/endpoint.js";
import { FarmError } from "../../core/errors.js";

/** Bytes of one message on a node's stream: control only, tensors go by bus and blob store. */
export const CONTROL_MESSAGE_BYTES_MAX = 64 * 1024;

/** Bytes of one message elsewhere; uploads and downloads come in pieces well below. */
const MESSAGE_BYTES_MAX = 4 * 1024 * 1024;

/**
 * Bytes of one answer to a client. A job of 1,000 clips that all failed with a long reason comes near
 * 4 MiB; everything else stays far below.
 */
const ANSWER_BYTES_MAX = 16 * 1024 * 1024;

/** Ping an idle connection this often, also one without calls: NATs and proxies forget sooner or later. */
const KEEPALIVE_TIME_MS = 30_000;
/** A ping that is not answered for this long means that the other side is gone. */
const KEEPALIVE_TIMEOUT_MS = 10_000;

const common = {
  "grpc.keepalive_time_ms": KEEPALIVE_TIME_MS,
  "grpc.keepalive_timeout_ms": KEEPALIVE_TIMEOUT_MS,
  "grpc.keepalive_permit_without_calls": 1,
  // A proxy of the environment is for the web; it would take even a loopback connection away.
  "grpc.enable_http_proxy": 0,
} satisfies ChannelOptions;

/**
 * The coordinator's server: both services are on one port, so the larger limit holds.
 *
 * No grpc.max_connection_age_ms: it spreads clients over servers behind one name, and of coordinators
 * only the one that leads is reached.
 */
export const serverOptions = {
  ...common,
  "grpc.max_receive_message_length": MESSAGE_BYTES_MAX,
  "grpc.max_send_message_length": ANSWER_BYTES_MAX,
  /** Streams of one connection; the console and the CLI watch a few jobs each. */
  "grpc.max_concurrent_streams": 256,
} satisfies ChannelOptions;

/**
 * Calls that may be made twice with the same effect: CreateJob by its request id. RetryJob and DeleteJob
 * are none, since the second of two would be told that there is nothing to do.
 */
const REPEATABLE = [
  ...["GetFarm", "GetJob", "ListJobs", "ListJobEvents", "ListOutputs", "GetOutputLink"],
  ...["CreateJob", "CancelJob", "PauseJob", "ResumeJob", "SetJobPriority"],
  ...["DrainNode", "UndrainNode", "DownloadOutput"],
].map((method) => ({ service: "renderfarm.v1.JobService", method }));

/** @source gRPC A6, "Client Retries"; AIP-194: UNAVAILABLE alone */
const SERVICE_CONFIG = {
  methodConfig: [
    {
      name: REPEATABLE,
      retryPolicy: {
        maxAttempts: 4,
        initialBackoff: "0.2s",
        maxBackoff: "5s",
        backoffMultiplier: 2,
        retryableStatusCodes: ["UNAVAILABLE"],
      },
    },
  ],
};

/** A client of JobService. */
export const clientOptions = {
  ...common,
  "grpc.max_receive_message_length": ANSWER_BYTES_MAX,
  "grpc.max_send_message_length": MESSAGE_BYTES_MAX,
  "grpc.initial_reconnect_backoff_ms": 200,
  "grpc.max_reconnect_backoff_ms": 5_000,
  "grpc.service_config": JSON.stringify(SERVICE_CONFIG),
} satisfies ChannelOptions;

/** A node's stream to its coordinator; NodeLink redials by itself, with a new connection each time. */
export const nodeClientOptions = {
  ...common,
  "grpc.max_receive_message_length": CONTROL_MESSAGE_BYTES_MAX,
  "grpc.max_send_message_length": CONTROL_MESSAGE_BYTES_MAX,
  "grpc.use_local_subchannel_pool": 1,
  "grpc.enable_retries": 0,
} satisfies ChannelOptions;

/**
 * What gRPC dials for one address, or for several with commas between: one coordinator leads, the
 * others do not listen, and a call goes to the first that answers.
 *
 * @param address host:port, or several
 * @throws FarmError "invalid-argument" when several are not IP addresses, all of one kind
 */
export function targetOf(address: string): string {
  const several = address.split(",").map((each) => each.replace(/^localhost:/, "127.0.0.1:"));
  if (several.length === 1) return address;
  const families = new Set(several.map((each) => isIP(endpointOf(each).host)));
  const [family] = families;
  if (families.size === 1 && family) return `ipv${family}:${several.join(",")}`;
  const text = `--address ${address}: several addresses have to be IP addresses, all IPv4 or all IPv6; or give one name that stands for all`;
  throw new FarmError("invalid-argument", text);
}
