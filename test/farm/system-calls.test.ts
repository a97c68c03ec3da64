/**
 * @file Which files a coordinator touches while clients send names that lead out of its folder, as the
 * kernel sees it (strace): none of what they ask for, and nothing is written but its own data.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { FarmProcess } from "../../cli/farm-process.js";
import { canTest } from "./can-test.js";
import { makeScratch, PICTURE, removeEmpty } from "./farm-harness.js";

/** Everything that gives a path to the kernel, and on what it does with it. */
const TRACED =
  "open,openat,creat,rename,renameat,renameat2,unlink,unlinkat,link,linkat,mkdir,mkdirat,rmdir,stat,statx,newfstatat,lstat,readlink,access,faccessat,faccessat2";
/** Calls that change a file or its name, as lines of strace. */
const CHANGES = /O_WRONLY|O_RDWR|O_CREAT|^(?:\d+\s+)?(?:creat|rename|unlink|link|mkdir|rmdir)/;

/** A file that is not the coordinator's. */
const FOREIGN = "foreign-secret";
const WAYS = (path: string) => [
  `../../../../../../../..${path}`,
  path,
  `/${path}`,
  `v1/inputs/../../../..${path}`,
  `..%2f..%2f..%2f..%2f..%2f..%2f..${path.replaceAll("/", "%2f")}`,
  `%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e${path}`,
  `..\\..\\..\\..\\..${path.replaceAll("/", "\\")}`,
  `file://${path}`,
  `${path}\0.png`,
];

/** Why the kernel cannot be watched here; null where it can. */
function whyNoStrace(): string | null {
  const traced = spawnSync("strace", ["-D", "-o", "/dev/null", "true"], { encoding: "utf8" });
  return traced.status === 0 ? null : (traced.error?.message ?? traced.stderr.trim());
}

describe.runIf(canTest("strace", whyNoStrace()))("under strace", () => {
  let scratch: string;
  let foreign: string;
  let traced: string;
  let coordinator: FarmProcess;
  let address: string;
  beforeAll(async () => {
    scratch = makeScratch();
    foreign = join(scratch, FOREIGN);
    writeFileSync(foreign, "not for you");
    traced = join(scratch, "calls");
    mkdirSync(join(scratch, "data"));
    const args = ["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"];
    coordinator = new FarmProcess({
      ...{ name: "coordinator", entry: "coordinator", readyMs: 60_000 },
      args: [...args, "--data", join(scratch, "data")],
      logPath: join(scratch, "log"),
      // With -D the coordinator, and not strace, is our child.
      launcher: ["strace", "-D", "-f", "-qq", "-s", "400", "-e", `trace=${TRACED}`, "-o", traced],
    });
    address = (await coordinator.ready).httpAddress;
  }, 90_000);
  afterAll(async () => {
    await coordinator.stop();
    for (const name of ["data", "log", "calls", FOREIGN]) {
      rmSync(join(scratch, name), { recursive: true, force: true });
    }
    removeEmpty(scratch);
  });

  /** The path goes as it is: nothing puts it right on the way. */
  const ask = (method: string, path: string, body?: string | Uint8Array): Promise<number> =>
    new Promise((resolve, reject) => {
      const [host, port] = address.split(":");
      const headers = { "content-type": "application/json" };
      const asked = request({ host, port, method, path, headers }, (answer) => {
        answer.resume().on("end", () => resolve(answer.statusCode ?? 0));
      });
      asked.once("error", reject).end(body);
    });

  test("nothing that a client names leads out of the coordinator's folder", async () => {
    const image = readFileSync(PICTURE);
    expect(await ask("POST", "/v1/inputs", image)).toBe(200);
    for (const way of WAYS(foreign)) {
      const inUrl = way.replace("\0", "%00").replaceAll("\\", "%5c");
      for (const path of [
        `/${inUrl}`,
        `/assets/${inUrl}`,
        `/v1/jobs/${inUrl}`,
        `/v1/jobs/${inUrl}/clips/0/outputs/clip.gif`,
        `/v1/jobs/${"0".repeat(26)}/clips/0/outputs/${inUrl}`,
      ]) {
        // A page of the console is an answer, too; its bytes are not the foreign file's.
        expect(await ask("GET", path)).toBeLessThan(500);
        expect(await ask("DELETE", path)).toBeGreaterThanOrEqual(400);
      }
      const blob = { key: way, size: "11", sha256: "0".repeat(64) };
      const jobs = [
        { images: [blob], parameters: {}, requestId: "r" },
        { images: [], parameters: { latents: blob }, requestId: way },
        { images: [blob], parameters: {}, requestId: way, modelDigest: way },
      ];
      for (const job of jobs) {
        expect(await ask("POST", "/v1/jobs", JSON.stringify(job))).toBeGreaterThanOrEqual(400);
      }
    }
    await coordinator.stop(); // by then every call is noted
    const calls = readFileSync(traced, "utf8").split("\n");
    expect(calls.length).toBeGreaterThan(100);
    expect(calls.filter((call) => call.includes(FOREIGN))).toEqual([]);
    const own = [join(scratch, "data"), "/dev/null", "/dev/tty"];
    const changes = calls.filter((call) => CHANGES.test(call));
    expect(changes.some((call) => call.includes("v1/inputs"))).toBe(true);
    const elsewhere = changes.filter((call) => !own.some((path) => call.includes(`"${path}`)));
    expect(elsewhere).toEqual([]);
  });
});
