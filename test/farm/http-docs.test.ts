/** @file The commands of docs/http.md, typed one after the other into a shell, against a real farm. */
import { spawn, spawnSync } from "node:child_process";
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { startLocalFarm } from "../../cli/local-farm.js";
import { CHECKPOINT, PICTURE } from "./farm-harness.js";

const hasCurl = spawnSync("curl", ["--version"]).status === 0;
const isRequired = process.env["RENDERFARM_REQUIRE_SERVERS"] === "1";
const START_MS = 60_000;

/** The shell blocks of a document, in order. */
function shellBlocks(document: string): string[] {
  const text = readFileSync(new URL(`../../docs/${document}`, import.meta.url), "utf8");
  return [...text.matchAll(/```sh\n([\s\S]*?)```/g)].map((match) => match[1] ?? "");
}

/** Runs blocks in one shell; what each said on stdout, in order. */
function runBlocks(blocks: readonly string[], folder: string, farm: string): Promise<string[]> {
  const mark = "=== next block";
  const script = blocks.map((block) => `${block}\necho; echo "${mark}"`).join("\n");
  const child = spawn("bash", ["-euo", "pipefail", "-c", script], {
    cwd: folder,
    env: { ...process.env, FARM: farm },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const said = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const) {
    child[name].setEncoding("utf8").on("data", (text: string) => {
      said[name] += text;
    });
  }
  return new Promise((resolve, reject) => {
    child.on("close", (code) => {
      if (code === 0) resolve(said.stdout.split(mark).slice(0, -1));
      else reject(new Error(`exit code ${code} after ${said.stdout.slice(-500)}\n${said.stderr}`));
    });
  });
}

test.skipIf(!hasCurl && !isRequired)(
  "every command of docs/http.md does what it says",
  async () => {
    const folder = mkdtempSync(join(tmpdir(), "renderfarm-docs-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    copyFileSync(PICTURE, join(folder, "photo.png"));
    const farm = await startLocalFarm({
      ...{ checkpoint: CHECKPOINT, variant: "auto", nodeCount: 2, threads: 1, verbose: false },
      ...{ listen: "127.0.0.1:0", http: "127.0.0.1:0", onNote: () => {} },
      signal: AbortSignal.timeout(START_MS),
    });
    onTestFinished(() => farm.stop());

    const said = await runBlocks(shellBlocks("http.md"), folder, `http://${farm.httpAddress}`);
    const [farmView, , plan, , events, , verbs, lately, wrong] = said;
    expect(JSON.parse(farmView ?? "")).toMatchObject({ nodes: [{ connected: true }, {}] });
    expect(JSON.parse(plan ?? "")).toMatchObject({ dryRun: { clips: 1, plan: "pair" } });
    expect(events?.match(/^event: job$/gm)?.length).toBeGreaterThan(1);
    expect(events?.trim().split("\n").at(-1)).toContain('"state":"JOB_STATE_SUCCEEDED"');
    const clip = readFileSync(join(folder, "clip.mp4"));
    expect(clip.subarray(4, 8).toString("latin1")).toBe("ftyp");
    for (const word of ["PAUSED", "CANCELLED", '"priority":80', '"refusal":"draining"']) {
      expect(verbs).toContain(word);
    }
    expect(lately).toContain('"half":"cond"');
    expect(lately).toContain('"journal":"ok"');
    // The answer that the document shows, which leaves out what says nothing.
    const shown = /```json\n([\s\S]*?)```/.exec(
      readFileSync(new URL("../../docs/http.md", import.meta.url), "utf8"),
    );
    expect(JSON.parse(wrong ?? "")).toMatchObject(JSON.parse(shown?.[1] ?? ""));
  },
);
