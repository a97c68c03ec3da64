/**
 * @file Settings of every gRPC connection of the farm, with the reason of each number.
 *
 * @source @grpc/grpc-js README, "Supported Channel Options"; its defaults: no client keepalive,
 *   4 MiB received at most, nothing bounded on the way out.
 */
import type { ChannelOptions } from "@grpc/grpc-js";

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

/** The coordinator's server: both services are on one port, so the larger limit holds. */
export const serverOptions = {
  ...common,
  "grpc.max_receive_message_length": MESSAGE_BYTES_MAX,
  "grpc.max_send_message_length": ANSWER_BYTES_MAX,
  /** Streams of one connection; the console and the CLI watch a few jobs each. */
  "grpc.max_concurrent_streams": 256,
} satisfies ChannelOptions;

/** A client of JobService. */
export const clientOptions = {
  ...common,
  "grpc.max_receive_message_length": ANSWER_BYTES_MAX,
  "grpc.max_send_message_length": MESSAGE_BYTES_MAX,
  "grpc.initial_reconnect_backoff_ms": 200,
  "grpc.max_reconnect_backoff_ms": 5_000,
} satisfies ChannelOptions;

/** A node's stream to its coordinator; NodeLink redials by itself, with a new connection each time. */
export const nodeClientOptions = {
  ...common,
  "grpc.max_receive_message_length": CONTROL_MESSAGE_BYTES_MAX,
  "grpc.max_send_message_length": CONTROL_MESSAGE_BYTES_MAX,
  "grpc.use_local_subchannel_pool": 1,
  "grpc.enable_retries": 0,
} satisfies ChannelOptions;
