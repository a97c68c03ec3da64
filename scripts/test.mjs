// `npm test`: the whole gate, the same here and in CI. Ends with the line "N passed, N failed".
// `--only format,types` runs some of it.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { prepare, root } from "./prepare.mjs";

const REPORT = join(root, ".cache", "vitest.json");
const bin = (entry, ...args) => [process.execPath, [join(root, "node_modules", entry), ...args]];

/** Each check counts as one test; `tests` counts what vitest counted. */
const CHECKS = {
  format: bin("@biomejs/biome/bin/biome", "check", "--error-on-warnings", "."),
  types: bin("typescript/bin/tsc", "--noEmit", "-p", "tsconfig.json"),
  lint: bin("eslint/bin/eslint.js", "."),
  unused: bin("knip/bin/knip.js"),
  proto: [process.execPath, [join(root, "scripts", "generate.mjs"), "--check"]],
  tests: bin(
    "vitest/vitest.mjs",
    ...["run", "--reporter=default", "--reporter=json", `--outputFile.json=${REPORT}`],
  ),
};

function chosenChecks() {
  const at = process.argv.indexOf("--only");
  if (at < 0) return Object.keys(CHECKS);
  const names = (process.argv[at + 1] ?? "").split(",");
  const unknown = names.filter((name) => !Object.hasOwn(CHECKS, name));
  if (unknown.length === 0) return names;
  throw new Error(
    `--only: unknown ${unknown.join(", ")}; there are ${Object.keys(CHECKS).join(", ")}`,
  );
}

/** What vitest counted; a run that wrote no report or ran no test has failed as a whole. */
function countTests(exitedWell) {
  if (!existsSync(REPORT)) return { passed: 0, failed: 1 };
  const report = JSON.parse(readFileSync(REPORT, "utf8"));
  const passed = report.numPassedTests;
  const failed = report.numTotalTests - passed;
  const clean = exitedWell && passed > 0;
  return { passed, failed: failed > 0 || clean ? failed : 1 };
}

function runCheck(name) {
  const [command, args] = CHECKS[name];
  rmSync(REPORT, { force: true });
  const { status } = spawnSync(command, args, {
    cwd: root,
    stdio: ["ignore", "inherit", "inherit"],
  });
  const well = status === 0;
  return name === "tests" ? countTests(well) : { passed: well ? 1 : 0, failed: well ? 0 : 1 };
}

try {
  const names = chosenChecks();
  prepare();
  mkdirSync(join(root, ".cache"), { recursive: true });
  const total = { passed: 0, failed: 0 };
  const lines = [];
  for (const name of names) {
    process.stdout.write(`\n== ${name}\n`);
    const startMs = performance.now();
    const { passed, failed } = runCheck(name);
    const seconds = ((performance.now() - startMs) / 1000).toFixed(1);
    lines.push(`${failed === 0 ? "ok  " : "FAIL"} ${name.padEnd(8)} ${seconds.padStart(6)} s`);
    total.passed += passed;
    total.failed += failed;
  }
  process.stdout.write(`\n${lines.join("\n")}\n\n${total.passed} passed, ${total.failed} failed\n`);
  process.exitCode = total.failed === 0 ? 0 : 1;
} catch (error) {
  process.stderr.write(`renderfarm: ${error.message}\n`);
  process.stdout.write("0 passed, 1 failed\n");
  process.exitCode = 1;
}
