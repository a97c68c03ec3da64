/**
 * @file Every command of every document, typed as it stands, against real farms.
 *
 * A block marked `sh` is a command; all of a document's are typed into one shell, in order, in a folder
 * with the files that readers have. `prelude.sh` and `world.ts` say what stands in for what.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { natsServerPath } from "../servers/nats-server.js";
import { serverPath } from "../servers/server-path.js";
import { type Block, blocksOf, commandsInProse, DOCUMENTS, readDocument } from "./documents.js";
import { openWorld } from "./world.js";

/** Lines that are not typed, and why. */
const NOT_RUN: ReadonlyMap<string, string> = new Map([
  ["npm run demo", "renders the real demo checkpoint: the guide's first command with a small one"],
  ["npm test", "is this run"],
  [
    "sh deploy/docker/cuda-provider.sh",
    "fetches 247 MB: test/deploy/cuda-provider.test.ts runs it with a small wheel",
  ],
  ["npm run harness", "is a measurement, run with the benches"],
]);

/** What a document takes for granted, before its first command. */
const BEFORE: Readonly<Record<string, string>> = {
  "docs/grpc.md": "renderfarm dev --checkpoint checkpoints/demo",
  "docs/http.md": "renderfarm dev --checkpoint checkpoints/demo",
  "docs/operations/README.md": [
    "renderfarm certs init --dir certs --farm studio",
    "renderfarm certs coordinator farm.example --dir certs",
    "renderfarm keys create --owner bob --api-keys keys.json > bob.key",
    "node dist/coordinator/main.js --listen 127.0.0.1:7433 --data /var/lib/renderfarm",
    ...["node-1", "node-2"].map(
      (id) =>
        `node dist/gpu-node/main.js --node-id ${id} --coordinator 127.0.0.1:7433 --checkpoint checkpoints/demo --blobs file:/var/lib/renderfarm/blobs`,
    ),
    "renderfarm submit photo.jpg --num-inference-steps 2 --out before.mp4",
  ].join("\n"),
};

/** The first test that needs a server may have to build it. */
const START_MS_MAX = 900_000;
const LANGUAGES = ["sh", "json", "js", "mermaid"];
/** What a document's commands need, by a word in it. */
const NEEDS = [
  ["kubectl", () => serverPath("kustomize")],
  ["s3://", () => serverPath("minio")],
  ["nats://", async () => natsServerPath],
  ["curl ", async () => (spawnSync("curl", ["--version"]).status === 0 ? "curl" : null)],
] as const;

/** Whether this machine has everything; where servers are required, what is missing throws. */
async function hasAllOf(document: string): Promise<boolean> {
  const text = readDocument(document);
  for (const [word, find] of NEEDS) {
    if (text.includes(word) && (await find()) === null) return false;
  }
  return true;
}

const shellBlocks = (document: string): Block[] =>
  blocksOf(document).filter(({ language }) => language === "sh");

/** A block without the lines that are not run. */
function runnable({ text }: Block): string {
  const kept = text.split("\n").map((line) => {
    const isLeftOut = [...NOT_RUN.keys()].some((command) => commandOf(line) === command);
    return isLeftOut ? ":" : line;
  });
  return kept.join("\n");
}

const commandOf = (line: string): string => line.replace(/\s+#.*$/, "").trim();

async function typeDocument(document: string): Promise<{ said: string[]; folder: string }> {
  const text = readDocument(document);
  const world = await openWorld(text);
  const blocks = shellBlocks(document).map(runnable);
  const [, ...said] = await world.type([BEFORE[document] ?? "", ...blocks]);
  return { said, folder: world.folder };
}

const documents = DOCUMENTS.filter((document) => shellBlocks(document).length > 0);

describe("every command does what it says:", () => {
  test.each(documents.filter((document) => document !== "docs/http.md"))(
    "%s",
    async (document) => {
      if (await hasAllOf(document)) await typeDocument(document);
    },
    START_MS_MAX,
  );

  test(
    "docs/http.md, and its answers",
    async () => {
      if (!(await hasAllOf("docs/http.md"))) return;
      const { said, folder } = await typeDocument("docs/http.md");
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
      const shown = blocksOf("docs/http.md").find(({ language }) => language === "json");
      expect(JSON.parse(wrong ?? "")).toMatchObject(JSON.parse(shown?.text ?? ""));
    },
    START_MS_MAX,
  );
});

test("every fence says what it holds, so that no command hides in one", () => {
  const odd = DOCUMENTS.flatMap((document) =>
    blocksOf(document)
      .filter(({ language }) => !LANGUAGES.includes(language))
      .map(({ line, language }) => `${document}:${line} '${language}'`),
  );
  expect(odd).toEqual([]);
});

test("what is not run is still in a document", () => {
  const lines = documents.flatMap((document) =>
    shellBlocks(document).flatMap(({ text }) => text.split("\n").map(commandOf)),
  );
  expect([...NOT_RUN.keys()].filter((command) => !lines.includes(command))).toEqual([]);
});

test("commands within sentences have verbs and flags that there are", () => {
  const help = new Map<string, string>();
  const helpOf = (verb: string): string => {
    if (!help.has(verb)) {
      const args = [
        join(import.meta.dirname, "../../bin/renderfarm"),
        ...verb.split(" "),
        "--help",
      ];
      help.set(verb, execFileSync(process.execPath, args, { encoding: "utf8" }));
    }
    return help.get(verb)!;
  };
  const wrong = DOCUMENTS.flatMap((document) =>
    commandsInProse(document).flatMap((command) => {
      const [, verb = "", sub = ""] = command.split(" ");
      const text = helpOf(
        ["certs", "keys", "config"].includes(verb) && sub ? `${verb} ${sub}` : verb,
      );
      const flags = command.match(/(?<=\s)--?[a-z-]+/g) ?? [];
      const unknown = flags.filter((flag) => !new RegExp(`\\s${flag}[\\s,]`).test(text));
      return text.includes(`renderfarm ${verb}`) && unknown.length === 0
        ? []
        : [`${document}: ${command}`];
    }),
  );
  expect(wrong).toEqual([]);
});
