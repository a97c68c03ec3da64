/** From `certs init` to a rendered job by the command line alone, as docs/security.md says it. */
import { chmodSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { FarmProcess } from "../../cli/farm-process.js";
import { runCli } from "../farm/cli-process.js";
import { CHECKPOINT, makeScratch, PICTURE } from "../farm/farm-harness.js";

let scratch: string;
beforeEach(() => {
  scratch = makeScratch();
  onTestFinished(() => rmSync(scratch, { recursive: true, force: true }));
});
const at = (name: string) => join(scratch, name);

/** A command that has to do what it is asked; its answer on stdout, a line each. */
async function cli(...args: string[]): Promise<string[]> {
  const { exitCode, stdout, stderr } = await runCli(args);
  expect({ args, exitCode, stderr: exitCode === 0 ? "" : stderr }).toEqual({
    ...{ args, exitCode: 0, stderr: "" },
  });
  return stdout.trim().split("\n");
}

function launch(entry: "coordinator" | "gpu-node", args: string[]): FarmProcess {
  const logPath = at(`${entry}.log`);
  const started = new FarmProcess({ name: entry, entry, args, logPath, readyMs: 60_000 });
  onTestFinished(() => started.stop());
  return started;
}

const coordinatorFlags = () => [
  ...["--listen", "127.0.0.1:0", "--data", at("data"), "--api-keys", at("keys.json")],
  ...["--tls-ca", at("certs/ca.pem"), "--tls-cert", at("certs/coordinator/cert.pem")],
  ...["--tls-key", at("certs/coordinator/key.pem")],
];

test("certificates and a key, a coordinator and a node, a job", async () => {
  const dir = ["--dir", at("certs")];
  expect(await cli("certs", "init", ...dir)).toEqual([at("certs/ca.pem")]);
  const [cert, key] = await cli("certs", "coordinator", ...dir);
  await cli("certs", "node", "node-1", ...dir, "--hours", "2");
  await cli("certs", "client", "alice", ...dir);
  const shown = await cli("certs", "show", ...dir);
  expect(shown.slice(1).map((line) => line.split(/\s+/).slice(0, 2))).toEqual([
    ["coordinator", "-"],
    ["node", "node-1"],
    ["user", "alice"],
  ]);
  const keys = ["--api-keys", at("keys.json")];
  const [token] = await cli("keys", "create", "--owner", "alice", ...keys);
  expect([cert, key]).toEqual([at("certs/coordinator/cert.pem"), at("certs/coordinator/key.pem")]);

  const { address } = await launch("coordinator", coordinatorFlags()).ready;
  await launch("gpu-node", [
    ...["--coordinator", address, "--checkpoint", CHECKPOINT, "--blob-dir", at("data/blobs")],
    ...["--node-id", "node-1", "--tls-ca", at("certs/ca.pem")],
    ...["--tls-cert", at("certs/node/node-1/cert.pem")],
    ...["--tls-key", at("certs/node/node-1/key.pem")],
  ]).ready;
  const farm = ["--address", address, "--tls-ca", at("certs/ca.pem")];
  const identity = ["--tls-cert", at("certs/user/alice/cert.pem"), "--tls-key"];
  const alice = [...farm, ...identity, at("certs/user/alice/key.pem"), "--token", token!];
  await vi.waitFor(async () => expect(await cli("nodes", ...alice)).toHaveLength(2), {
    timeout: 30_000,
  });
  const small = ["--width", "16", "--height", "16", "--num-frames", "2"];
  const rest = ["--num-inference-steps", "2", "--format", "safetensors"];
  const out = ["--out", at("clip.safetensors")];
  await cli("submit", PICTURE, ...small, ...rest, ...out, ...alice);
  expect((await cli("list", ...alice)).at(-1)).toMatch(/succeeded .* alice /);

  const refused = await runCli(["list", ...farm, "--token", `${token!.slice(0, -4)}AAAA`]);
  expect(refused).toMatchObject({ exitCode: 4, stderr: /the key is none of this farm's/ });
  const [id] = token!.slice(3).split("_");
  await cli("keys", "revoke", id!, ...keys);
  await vi.waitFor(
    async () => {
      const { exitCode, stderr } = await runCli(["list", ...alice]);
      expect([exitCode, stderr]).toEqual([4, expect.stringContaining(`the key ${id} is revoked`)]);
    },
    { timeout: 20_000 },
  );
  expect((await cli("keys", "list", ...keys)).at(-1)).toMatch(/^\w{12} +alice .* revoked /);
  const audited = readFileSync(at("data/audit.jsonl"), "utf8");
  expect(audited).toContain('"action":"job.create"');
  expect(audited + readFileSync(at("keys.json"), "utf8")).not.toContain(token!.split("_").at(-1)!);
});

describe("a coordinator does not start", () => {
  test.each<[string, () => void, RegExp]>([
    [
      "with a key that everyone may read",
      () => chmodSync(at("certs/coordinator/key.pem"), 0o644),
      /--tls-key: everyone on this machine may read/,
    ],
    [
      "with keys that everyone may read",
      () => chmodSync(at("keys.json"), 0o604),
      /--api-keys: everyone on this machine may read/,
    ],
    ["with damaged keys", () => writeFileSync(at("keys.json"), "{}"), /--api-keys: .*version/],
  ])("%s", async (_name, spoil, says) => {
    await cli("certs", "init", "--dir", at("certs"));
    await cli("certs", "coordinator", "--dir", at("certs"));
    await cli("keys", "create", "--owner", "alice", "--api-keys", at("keys.json"));
    spoil();
    const coordinator = launch("coordinator", coordinatorFlags());
    await expect(coordinator.ready).rejects.toMatchObject({
      ...{ code: "invalid-argument", detail: expect.stringMatching(says) },
    });
    expect(await coordinator.ended).toBe("exit code 2");
  });
});

describe("a command is refused", () => {
  test.each<[string, string[], RegExp]>([
    ["a token without the roots", ["list", "--token", "x"], /--tls-ca: is missing/],
    [
      "half of a certificate",
      ["list", "--tls-ca", "x", "--tls-cert", "y"],
      /--tls-key: is missing/,
    ],
    ["what is no token", ["list", "--tls-ca", "x", "--token", "x"], /--token: is no key/],
    ["an owner that is no name", ["keys", "create", "--owner", "A b"], /--owner: 'A b'/],
    ["no owner", ["keys", "create"], /--owner/],
    ["a scope that is none", ["keys", "create", "--owner", "a", "--scopes", "all"], /--scopes/],
    ["an end that is none", ["keys", "create", "--owner", "a", "--expires", "soon"], /--expires/],
    ["a node's name that is none", ["certs", "node", "../x"], /ID: '\.\.\/x'/],
    ["a host that is none", ["certs", "coordinator", "a b"], /HOST: 'a b'/],
    ["a life of nothing", ["certs", "node", "a", "--hours", "0"], /--hours: '0'/],
    ["two lives", ["certs", "node", "a", "--hours", "1", "--days", "1"], /--days/],
    ["a folder without a root", ["certs", "show", "--dir", "/none"], /certs init --dir/],
  ])("%s", async (_name, args, says) => {
    const { exitCode, stderr, stdout } = await runCli(args);
    expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: "" });
    expect(stderr).toMatch(says);
  });
});
