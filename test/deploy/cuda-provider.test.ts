/**
 * The step of the Dockerfile that fetches the CUDA provider, outside Docker, with pip as it is. In the
 * place of PyPI and its wheel of 250 MB: a folder with a small wheel, and files that name its hashes.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { readText } from "./watched-farm.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
const dockerfile = readText("deploy/docker/Dockerfile");
const requirements = readText("deploy/docker/cuda-provider.txt");
const sums = readText("deploy/docker/cuda-provider.sha256");
const [, version = ""] = /^onnxruntime-gpu==(\S+) /.exec(requirements) ?? [];
const libraries = [...sums.matchAll(/^[0-9a-f]{64} {2}(\S+)$/gm)].map(([, name]) => name!);

describe("what is fetched", () => {
  test("is of the version of onnxruntime-node, and of one hash", () => {
    const { dependencies } = JSON.parse(readText("package.json")) as {
      dependencies: Record<string, string>;
    };
    expect(version).toBe(dependencies["onnxruntime-node"]);
    expect(requirements).toMatch(/^\S+ --hash=sha256:[0-9a-f]{64}\n$/);
  });

  test("is the library that the engine loads, what it needs, and TensorRT's", () => {
    expect(libraries).toEqual(
      ["cuda", "shared", "tensorrt"].map((name) => `libonnxruntime_providers_${name}.so`),
    );
    expect(sums.trimEnd().split("\n")).toHaveLength(libraries.length);
  });

  test("is fetched in a build of the image without a word of the builder, for its CUDA and cuDNN", () => {
    const [, stage = ""] = /^FROM build AS cuda-provider\n(.+?)^FROM /ms.exec(dockerfile) ?? [];
    expect(stage).toContain("RUN sh deploy/docker/cuda-provider.sh\n");
    expect(stage).not.toContain("ARG");
    expect(dockerfile).toMatch(/^ARG CUDA_IMAGE=nvidia\/cuda:13\.\d+\.\d+-cudnn-runtime-/m);
  });
});

/** Anything but a library: whose bytes they are is all that the script looks at. */
const bytesOf = (library: string) => `the bytes of ${library}`;
const sha256 = (data: string | Buffer) => createHash("sha256").update(data).digest("hex");

describe.skipIf(!canFetch())("the script", () => {
  let folder = "";
  let engine = "";
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "cuda-"));
    cpSync(join(root, "deploy/docker"), join(folder, "deploy/docker"), { recursive: true });
    const modules = join(folder, "node_modules/onnxruntime-node");
    engine = join(modules, "bin/napi-v6/linux/x64");
    mkdirSync(engine, { recursive: true });
    writeFileSync(join(modules, "package.json"), JSON.stringify({ version }));
    writeFileSync(join(engine, "onnxruntime_binding.node"), "");
    publish(libraries.map((library) => [library, bytesOf(library)]));
    const named = libraries.map((library) => `${sha256(bytesOf(library))}  ${library}\n`);
    writeFileSync(join(folder, "deploy/docker/cuda-provider.sha256"), named.join(""));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  /** A wheel with these files, and the requirement that names its hash. */
  function publish(files: readonly (readonly [name: string, content: string])[]): void {
    const content = join(folder, "content");
    rmSync(content, { recursive: true, force: true });
    const about = `onnxruntime_gpu-${version}.dist-info`;
    const all = [
      ...files.map(([name, text]) => [`onnxruntime/capi/${name}`, text] as const),
      ["onnxruntime/__init__.py", ""] as const,
      [`${about}/METADATA`, `Metadata-Version: 2.1\nName: onnxruntime-gpu\nVersion: ${version}\n`],
      [`${about}/WHEEL`, "Wheel-Version: 1.0\nRoot-Is-Purelib: false\n"],
      [`${about}/RECORD`, ""],
    ] as const;
    for (const [name, text] of all) {
      mkdirSync(dirname(join(content, name)), { recursive: true });
      writeFileSync(join(content, name), text);
    }
    const wheel = `onnxruntime_gpu-${version}-cp312-cp312-manylinux_2_28_x86_64.whl`;
    const pack = ["-m", "zipfile", "--create", join(folder, wheel), "onnxruntime", about];
    execFileSync("python3", pack, { cwd: content });
    const hash = sha256(readFileSync(join(folder, wheel)));
    const line = `onnxruntime-gpu==${version} --hash=sha256:${hash}\n`;
    writeFileSync(join(folder, "deploy/docker/cuda-provider.txt"), line);
  }

  function fetchProvider(path: readonly string[] = []) {
    const { status, stderr } = spawnSync("sh", [join(folder, "deploy/docker/cuda-provider.sh")], {
      env: {
        ...{ PATH: [...path, process.env["PATH"]].join(":"), TMPDIR: folder },
        ...{ PIP_NO_INDEX: "1", PIP_FIND_LINKS: folder, PIP_CONFIG_FILE: "/dev/null" },
      },
      encoding: "utf8",
    });
    return { status, said: stderr };
  }

  const edit = (name: string, change: (text: string) => string) => {
    const path = join(folder, name);
    writeFileSync(path, change(readFileSync(path, "utf8")));
  };

  test("puts the libraries beside the engine, and leaves nothing else", () => {
    expect(fetchProvider()).toEqual({ status: 0, said: "" });
    expect(readdirSync(engine).sort()).toEqual([...libraries, "onnxruntime_binding.node"]);
    for (const library of libraries) {
      expect(readFileSync(join(engine, library), "utf8")).toBe(bytesOf(library));
    }
    expect(readdirSync(folder).filter((name) => name.startsWith("tmp."))).toEqual([]);
  });

  test("puts them in the place of older ones", () => {
    writeFileSync(join(engine, libraries[0]!), "of an older version");
    expect(fetchProvider().status).toBe(0);
    expect(readFileSync(join(engine, libraries[0]!), "utf8")).toBe(bytesOf(libraries[0]!));
  });

  const refusals: [name: string, change: () => void, said: RegExp][] = [
    [
      "a wheel of another hash",
      () => edit("deploy/docker/cuda-provider.txt", (t) => t.replace(/.{4}\n$/, "0000\n")),
      /DO NOT MATCH THE HASHES/,
    ],
    [
      "a wheel that holds another library under the same name",
      () => publish(libraries.map((library) => [library, "something else"])),
      /_cuda\.so: FAILED\n(?:.*\n)*.*a library is not what .*cuda-provider\.sha256 names/,
    ],
    [
      "a wheel without one of the libraries",
      () => publish(libraries.slice(0, 2).map((library) => [library, bytesOf(library)])),
      /_tensorrt\.so: FAILED open or read/,
    ],
    [
      "a list of hashes with a line that is none",
      () => edit("deploy/docker/cuda-provider.sha256", (t) => `${t}nonsense\n`),
      /improperly formatted/,
    ],
    [
      "an engine of another version",
      () => edit("node_modules/onnxruntime-node/package.json", (t) => t.replace(version, "1.99.0")),
      /onnxruntime-node is 1\.99\.0, and cuda-provider\.txt names another version/,
    ],
    [
      "a package without the engine",
      () => rmSync(join(engine, "onnxruntime_binding.node")),
      /there is no engine in/,
    ],
  ];
  test.each(refusals)("refuses %s, and puts nothing beside the engine", (_name, change, said) => {
    change();
    const before = readdirSync(engine);
    const { status, said: words } = fetchProvider();
    expect(words).toMatch(said);
    expect(status).toBe(1);
    expect(readdirSync(engine)).toEqual(before);
  });

  test("refuses a machine that the wheel is not for, before anything is fetched", () => {
    const programs = join(folder, "programs");
    mkdirSync(programs);
    writeFileSync(join(programs, "uname"), "#!/bin/sh\necho Linux aarch64\n");
    chmodSync(join(programs, "uname"), 0o755);
    const { status, said } = fetchProvider([programs]);
    expect(status).toBe(1);
    expect(said).toMatch(/is for Linux x86_64, and this is Linux aarch64\n$/);
  });
});

/** Said once on stderr where it cannot, or thrown where servers are required. */
function canFetch(): boolean {
  const isHere = process.platform === "linux" && process.arch === "x64";
  if (isHere && spawnSync("python3", ["-m", "pip", "--version"]).status === 0) return true;
  const text = "tests of deploy/docker/cuda-provider.sh are left out: no python3 with pip";
  if (process.env["RENDERFARM_REQUIRE_SERVERS"] === "1") throw new Error(text);
  process.stderr.write(`${text}\n`);
  return false;
}
