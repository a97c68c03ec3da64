/** The promises of ARCHITECTURE.md about who imports whom, and what no file may hold. */
import { describe, expect, test } from "vitest";
import { importsOf, ownSources, readText, trackedFiles } from "./sources.js";

const isTest = (file: string) => /\.(test|contract)\.ts$/.test(file) || file.startsWith("test/");
const sources = ownSources();
const production = sources.filter((file) => !isTest(file));
const folderOf = (file: string) => file.split("/")[0] ?? "";

/** Every import "file -> target" of production code that a rule forbids. */
function forbidden(from: RegExp, target: (name: string) => boolean): string[] {
  return production
    .filter((file) => from.test(file))
    .flatMap((file) =>
      importsOf(file)
        .filter(target)
        .map((name) => `${file} -> ${name}`),
    );
}

describe("imports point one way", () => {
  test("the sources are found", () => {
    expect(production.length).toBeGreaterThan(50);
    expect(importsOf("coordinator/plan/farm.ts")).toContain("coordinator/plan/task.ts");
  });

  const own = new Set([
    "shared",
    "coordinator",
    "gpu-node",
    "engine",
    "client",
    "cli",
    "console",
    "proto",
    "bench",
    "test",
  ]);
  const allowed: [folder: string, may: string[]][] = [
    ["shared", ["shared", "proto"]],
    ["coordinator", ["coordinator", "shared", "proto"]],
    ["gpu-node", ["gpu-node", "shared", "proto"]],
    ["engine", ["engine", "gpu-node", "shared"]],
    ["client", ["client", "shared", "proto"]],
    ["cli", ["cli", "client", "gpu-node", "shared", "proto"]],
    ["console", ["console", "proto"]],
    ["bench", ["bench", "cli", "client", "engine", "gpu-node", "coordinator", "shared", "proto"]],
  ];
  test.each(allowed)("%s imports only from its own side", (folder, may) => {
    const breaks = forbidden(new RegExp(`^${folder}/`), (name) => {
      // Benches start the same real servers as tests do.
      if (folder === "bench" && name.startsWith("test/servers/")) return false;
      const target = folderOf(name);
      return own.has(target) && name.includes("/") && !may.includes(target);
    });
    expect(breaks).toEqual([]);
  });

  test("generated types stop in codecs and at the edges of gRPC", () => {
    const edges =
      /^(shared\/adapters\/grpc\/|coordinator\/(rpc\/|http\/|coordinator\.ts)|console\/src\/api\/types|client\/farm-(client|view)|gpu-node\/agent\/node-link|gpu-node\/model\/graph-encoding)/;
    const breaks = forbidden(/./, (name) => name.startsWith("proto/gen/")).filter(
      (line) => !edges.test(line),
    );
    expect(breaks).toEqual([]);
  });

  test("pure folders import no I/O", () => {
    const pure = /^(coordinator\/plan|gpu-node\/(diffusion|model)|shared\/(core|tensor|farm))\//;
    const io = /^(node:(?!assert|buffer)|onnxruntime|@grpc|nats|minio|sharp|pino|shared\/adapters)/;
    expect(forbidden(pure, (name) => io.test(name))).toEqual([]);
  });

  test("ports know no adapter", () => {
    expect(forbidden(/^shared\/ports\//, (n) => n.startsWith("shared/adapters"))).toEqual([]);
  });
});

describe("files", () => {
  test("none is longer than 400 lines", () => {
    const long = sources
      .map((file) => [file, readText(file).split("\n").length] as const)
      .filter(([, lines]) => lines > 400);
    expect(long).toEqual([]);
  });

  test("nothing is postponed, silenced or skipped", () => {
    const marks = new RegExp(
      [
        "TO" + "DO",
        "FIX" + "ME",
        "@ts-" + "ignore",
        "@ts-" + "nocheck",
        "(test|it|describe)\\.(only|skip|todo)\\(",
      ].join("|"),
    );
    expect(sources.filter((file) => marks.test(readText(file)))).toEqual([]);
  });

  test("names are kebab-case", () => {
    const odd = sources.filter((file) => !/^[a-z0-9.-]+$/.test(file.split("/").at(-1) ?? ""));
    expect(odd).toEqual([]);
  });

  test("no file names a path of the machine that it was written on", () => {
    const texts = trackedFiles().filter((f) => /\.(ts|mjs|js|json|md|py|ya?ml|proto)$/.test(f));
    const own = "test/tidy/structure.test.ts";
    const naming = texts.filter((f) => f !== own && /\/(work|root|home)\/[a-z]/.test(readText(f)));
    expect(naming).toEqual([]);
  });
});

describe("documents", () => {
  test("every dependency has its reason in docs/dependencies.md, and none is listed that is gone", () => {
    const manifest = JSON.parse(readText("package.json")) as Record<string, Record<string, string>>;
    const installed = ["dependencies", "optionalDependencies", "devDependencies"].flatMap((kind) =>
      Object.keys(manifest[kind] ?? {}),
    );
    const listed = [...readText("docs/dependencies.md").matchAll(/^\| `([^`]+)` +\|/gm)].map(
      (m) => m[1],
    );
    expect(listed.sort()).toEqual(installed.sort());
  });

  test("every npm script that a document names exists", () => {
    const manifest = JSON.parse(readText("package.json")) as { scripts: Record<string, string> };
    const named = trackedFiles()
      .filter((file) => file.endsWith(".md"))
      .flatMap((file) =>
        [...readText(file).matchAll(/npm run ([a-z:-]+)/g)].map((m) => m[1] ?? ""),
      );
    expect(named.length).toBeGreaterThan(0);
    expect(named.filter((name) => !(name in manifest.scripts))).toEqual([]);
  });

  test("every file that ARCHITECTURE.md maps exists", () => {
    const mapped = [
      ...readText("ARCHITECTURE.md").matchAll(/^\| `([a-z-]+(?:\/[a-z-]+)*)\/?` +\|/gm),
    ];
    const files = trackedFiles();
    const missing = mapped
      .map((m) => m[1] ?? "")
      .filter((folder) => !files.some((f) => f.startsWith(`${folder}/`)));
    expect(mapped.length).toBeGreaterThan(10);
    expect(missing).toEqual([]);
  });
});
