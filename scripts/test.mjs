// `npm test`: installs and builds where needed, then every check there is, each with its time.
// `--only a,b` runs some of them. The last line counts: each vitest test and each other check is one.
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { prepare, root } from "./prepare.mjs";

const bin = (name) => join(root, "node_modules/.bin", name);

const SURROUNDINGS = {
  cwd: root,
  env: process.stdout.isTTY ? process.env : { ...process.env, NO_COLOR: "1" },
};

/** In the order of a reader's patience: what is quick and often wrong comes first. */
const CHECKS = [
  tool("format", bin("biome"), ["check", "--error-on-warnings", "."]),
  tool("types", bin("tsc"), ["--noEmit", "-p", "tsconfig.json"]),
  tool("console-types", bin("tsc"), ["--noEmit", "-p", "console/tsconfig.json"]),
  tool("lint", bin("eslint"), ["--max-warnings", "0", "."]),
  tool("unused", bin("knip"), ["--no-progress"]),
  tool("proto", process.execPath, ["scripts/generate.mjs", "--check"]),
  tests("imports", ["test/tidy"]),
  tests("unit", ["shared", "coordinator", "gpu-node", "engine", "client", "cli"]),
  tests("golden", ["test/golden"]),
  tests("simulation", ["test/sim"]),
  tests("farm", ["test/farm"]),
  tests("access", ["test/access"]),
  tests("fuzz", ["test/fuzz"]),
  servers("servers"),
  tests("transport", ["test/transport"]),
  // Few long files: in one run the cores are busy to its end.
  tests("surfaces", ["test/deploy", "test/console", "test/docs"]),
];

const wanted = chosenChecks(process.argv.slice(2));
prepare();
let passed = 0;
let failed = 0;
await sideBySide(wanted.filter(({ isTool }) => isTool));
for (const { name, run } of wanted.filter(({ isTool }) => !isTool)) {
  console.log(`\n== ${name}`);
  const startMs = Date.now();
  count(name, run(), startMs);
}
console.log(`\n${passed} passed, ${failed} failed`);
process.exit(failed === 0 && passed > 0 ? 0 : 1);

function chosenChecks(args) {
  if (args.length === 0) return CHECKS;
  const names = CHECKS.map((check) => check.name);
  const chosen = args[0] === "--only" && args.length === 2 ? args[1].split(",") : null;
  const unknown = chosen?.filter((name) => !names.includes(name)) ?? args;
  if (unknown.length > 0) {
    console.error(`unknown: ${unknown.join(" ")}\nusage: npm test -- --only ${names.join(",")}`);
    process.exit(2);
  }
  return CHECKS.filter((check) => chosen.includes(check.name));
}

function count(name, result, startMs) {
  passed += result.passed;
  failed += result.failed;
  const outcome = result.failed === 0 ? "ok" : `FAILED (${result.failed})`;
  console.log(`== ${name}: ${outcome}, ${((Date.now() - startMs) / 1000).toFixed(1)} s`);
}

/** Tools have a core each and change nothing; what one says is shown when it has ended. */
async function sideBySide(tools) {
  const waiting = [...tools];
  const lane = async () => {
    for (let next = waiting.shift(); next; next = waiting.shift()) {
      const startMs = Date.now();
      const { status, said } = await next.run();
      console.log(`\n== ${next.name}\n${said}`);
      count(next.name, status === 0 ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 }, startMs);
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, lane));
}

/** A check that is one program: it counts as one. */
function tool(name, command, args) {
  const run = () =>
    new Promise((resolve) => {
      let said = "";
      const child = spawn(command, args, { ...SURROUNDINGS, stdio: ["ignore", "pipe", "pipe"] });
      for (const stream of [child.stdout, child.stderr]) {
        stream.setEncoding("utf8").on("data", (text) => {
          said += text;
        });
      }
      child.on("error", (error) => resolve({ status: null, said: error.message }));
      child.on("close", (status) => resolve({ status, said: said.trimEnd() }));
    });
  return { name, run, isTool: true };
}

/** Test files under some folders; a vitest that breaks down or finds no test is a failure. */
function tests(name, folders) {
  const report = join(root, `.cache/vitest-${name}.json`);
  const run = () => {
    mkdirSync(join(root, ".cache"), { recursive: true });
    rmSync(report, { force: true });
    // A folder's name is matched anywhere in a path; "./" and the slash tie it to the root.
    const filters = folders.map((folder) => `${join(root, folder)}/`);
    const status = exec(bin("vitest"), [
      ...[
        "run",
        ...filters,
        "--reporter=default",
        "--reporter=json",
        `--outputFile.json=${report}`,
      ],
    ]);
    if (!existsSync(report)) return { passed: 0, failed: 1 };
    const { numPassedTests, numFailedTests } = JSON.parse(readFileSync(report, "utf8"));
    const isSound = status === 0 && numPassedTests > 0;
    return {
      passed: numPassedTests,
      failed: isSound ? numFailedTests : Math.max(1, numFailedTests),
    };
  };
  return { name, run };
}

/**
 * Real servers and tools for the checks after it, installed here rather than while a test waits. Where
 * one cannot be had, its tests are left out with a word of why; RENDERFARM_REQUIRE_SERVERS=1 makes
 * that a failure.
 */
function servers(name) {
  const names = ["nats-server", "seaweedfs", "minio", "kustomize", "prometheus", "promtool"];
  const run = () => {
    const status = exec(process.execPath, [join(root, "scripts/servers/install.mjs"), ...names]);
    const isFailure = status !== 0 && process.env.RENDERFARM_REQUIRE_SERVERS === "1";
    return isFailure ? { passed: 0, failed: 1 } : { passed: 1, failed: 0 };
  };
  return { name, run };
}

function exec(command, args) {
  const stdio = ["ignore", "inherit", "inherit"];
  const { status, error } = spawnSync(command, args, { ...SURROUNDINGS, stdio });
  if (error) console.error(error.message);
  return status;
}
