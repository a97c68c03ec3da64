import { expect, test } from "vitest";
import { NODE_ID_PATTERN } from "../../shared/adapters/grpc/wire-checks.js";
import { FarmError } from "../../shared/core/errors.js";
import { readSettings } from "./settings.js";

const needed = ["--coordinator", "127.0.0.1:7000", "--checkpoint", "/m", "--blob-dir", "/b"];

test("three settings are needed, the others have defaults", () => {
  const settings = readSettings(needed, {});
  expect(settings).toMatchObject({
    coordinator: "127.0.0.1:7000",
    checkpoint: "/m",
    blobs: "file:/b",
    threads: 1,
    variant: "auto",
    bus: "tcp",
    busListen: "127.0.0.1:0",
    busAdvertise: null,
    logLevel: "info",
  });
  expect(settings?.nodeId).toMatch(NODE_ID_PATTERN);
});

test("every setting can come from the environment; a flag goes first", () => {
  const env = {
    RENDERFARM_COORDINATOR: "localhost:1",
    RENDERFARM_CHECKPOINT: "/env",
    RENDERFARM_BLOBS: "s3://bucket?endpoint=https://s3.example",
    RENDERFARM_NODE_ID: "env-node",
    RENDERFARM_THREADS: "3",
    RENDERFARM_DTYPE: "float16",
    RENDERFARM_VARIANT: "fp16",
    RENDERFARM_BUS: "tcp",
    RENDERFARM_BUS_LISTEN: "127.0.0.1:7",
    RENDERFARM_BUS_ADVERTISE: "localhost:8",
    RENDERFARM_MEMORY: "24GiB",
    RENDERFARM_FORWARD_CHUNK_SIZE: "4",
    RENDERFARM_PREFER: "decode",
    LOG_LEVEL: "debug",
  };
  expect(readSettings(["--checkpoint", "/flag", "--threads=2"], env)).toEqual({
    coordinator: "localhost:1",
    checkpoint: "/flag",
    blobs: "s3://bucket?endpoint=https://s3.example",
    nodeId: "env-node",
    threads: 2,
    dtype: "float16",
    variant: "fp16",
    bus: "tcp",
    busListen: "127.0.0.1:7",
    busAdvertise: "localhost:8",
    memoryBytes: 24 * 2 ** 30,
    offload: false,
    forwardChunkSize: 4,
    prefers: "decode",
    metrics: null,
    provider: "cpu",
    tls: null,
    logLevel: "debug",
  });
});

test("halves may go by a NATS server, which nobody is told another address of", () => {
  const bus = ["--bus", "nats://127.0.0.1:4222"];
  expect(readSettings([...needed, ...bus], {})).toMatchObject({ bus: bus[1] });
  const advertised = [...needed, ...bus, "--bus-advertise", "127.0.0.1:7"];
  expect(() => readSettings(advertised, {})).toThrow(/--bus-advertise: only sockets/);
  expect(() => readSettings([...needed, "--bus", "udp"], {})).toThrow(/--bus: "udp" is not tcp or/);
});

test("a node may know of several coordinators", () => {
  const two = ["--coordinator", "127.0.0.1:7000,127.0.0.1:7001"];
  expect(readSettings([...needed, ...two], {})).toMatchObject({ coordinator: two[1] });
});

test("all wrong settings are named at once", () => {
  const args = ["--coordinator", "10.0.0.1:7000", "--threads", "0", "--node-id", "Node 1"];
  try {
    readSettings([...args, "--variant", "fp8"], { LOG_LEVEL: "loud" });
    expect.unreachable();
  } catch (error) {
    expect((error as FarmError).violations.map(({ field }) => field)).toEqual([
      "--checkpoint",
      "--blobs",
      "--threads",
      "--variant",
      "--coordinator",
      "--node-id",
      "LOG_LEVEL",
    ]);
  }
});

const refused: [args: string[], message: RegExp][] = [
  [["--coordinator", "127.0.0.1"], /--coordinator/],
  [["--coordinator", "127.0.0.1:0"], /--coordinator/],
  [["--coordinator", "127.0.0.1:65536"], /--coordinator/],
  [["--coordinator", "127.0.0.1.evil.org:80"], /--coordinator/],
  [["--coordinator", "farm.example.org:7000"], /TLS/],
  [
    ["--bus-listen", "0.0.0.0:0"],
    /--bus-listen: "0\.0\.0\.0:0" is not loopback; other machines want TLS/,
  ],
  [["--bus-advertise", "127.0.0.1:0"], /--bus-advertise/],
  [["--bus-advertise", "farm.example.org:7000"], /TLS/],
  [["--memory", "much"], /--memory: "much" is not an amount of memory such as 24GiB/],
  [["--forward-chunk-size", "0"], /--forward-chunk-size: "0" is not an integer from 1 to 256/],
  [["--prefer", "mux"], /--prefer: "mux" is not one of any, denoise, decode/],
  [["--threads", "1.5"], /--threads: "1.5"/],
  [["--threads", "-1"], /threads/],
  [["--threads", "1e3"], /--threads/],
  [["--node-id", "-a"], /node-id/],
  [["--node-id", "x".repeat(64)], /--node-id/],
  [["--no-such-flag", "1"], /no-such-flag/],
  [["word"], /word/],
  [["--checkpoint"], /--checkpoint/],
];

test.each(refused)("%j is refused", (args, message) => {
  expect(() => readSettings([...needed, ...args], {})).toThrow(FarmError);
  expect(() => readSettings([...needed, ...args], {})).toThrow(message);
});

test("help needs no other setting", () => {
  expect(readSettings(["--help"], {})).toBeNull();
});

test.each([
  [["--blobs", "file:/a", "--blob-dir", "/b"], "beside --blob-dir"],
  [["--blobs", "ftp://a"], "is not file:DIR or s3://"],
  [["--blobs", "/a"], "is not file:DIR or s3://"],
])("%j is refused", (args, text) => {
  const others = ["--coordinator", "127.0.0.1:7000", "--checkpoint", "/m"];
  expect(() => readSettings([...others, ...args], {})).toThrow(text);
});
