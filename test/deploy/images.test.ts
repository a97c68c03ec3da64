/** The steps of the Dockerfile outside Docker: what an image would hold is built and started here. */
import { execFileSync, spawnSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readText } from "./watched-farm.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
const dockerfile = readText("deploy/docker/Dockerfile");
const stages = dockerfile.split(/^(?=FROM )/m).slice(1);
const stageOf = (name: string) => stages.find((stage) => stage.includes(` AS ${name}\n`)) ?? "";

describe("the Dockerfile", () => {
  test("has a target for every image that the manifests name", () => {
    for (const name of ["coordinator", "gpu-node-cpu", "gpu-node-cuda"]) {
      expect(stageOf(name), name).toContain("CMD [");
    }
  });

  test("and the guide build images under the names that the overlays have", () => {
    const overlays = ["local-cpu", "nvidia-gpu", "production"].map((name) =>
      readText(`deploy/k8s/overlays/${name}/kustomization.yaml`),
    );
    const wanted = overlays.flatMap((text) =>
      [...text.matchAll(/name: (renderfarm\/\S+),(?: newName: (\S+),)? newTag: (\S+) /g)].map(
        ([, name, newName, tag]) => `${newName ?? name}:${tag}`,
      ),
    );
    const built = (path: string) =>
      new Set([...readText(path).matchAll(/docker build .* -t (\S+)/g)].map(([, tag]) => tag!));
    expect(built("deploy/docker/Dockerfile")).toEqual(new Set(wanted));
    expect(built("docs/guide.md").size).toBe(2);
    expect([...built("docs/guide.md")].filter((tag) => !wanted.includes(tag))).toEqual([]);
  });

  test("names its bases with a version, never the latest", () => {
    const bases = [...dockerfile.matchAll(/^ARG \w+_IMAGE=(.+)$/gm)].map((m) => m[1]);
    expect(bases).toHaveLength(2);
    for (const base of bases) expect(base).toMatch(/:\d+\.\d+\.\d+-/);
  });

  test("ends every image as a user who is not root", () => {
    for (const name of ["base", "gpu-node-cuda"]) {
      const users = [...stageOf(name).matchAll(/^USER (.+)$/gm)].map((m) => m[1]);
      expect(users, name).toEqual(["10001:10001"]);
    }
    expect(stageOf("coordinator") + stageOf("gpu-node-cpu")).not.toMatch(/USER/);
  });

  test("brings ffmpeg, and runs no script of a package but the one that is checked", () => {
    expect(dockerfile.match(/ffmpeg tini/g)).toHaveLength(2);
    expect(readText("deploy/docker/install.sh")).toContain("npm ci --ignore-scripts");
    expect(stageOf("cuda-provider")).toContain("deploy/docker/cuda-provider.sh");
  });
});

describe("the steps", () => {
  let folder = "";
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "image-"));
    const args = ["ls-files", "--cached", "--others", "--exclude-standard", "-z"];
    const listed = execFileSync("git", args, { cwd: root, encoding: "utf8" }).split("\0");
    const isSource =
      /^(package|tsconfig|\.npmrc)|^(shared|coordinator|gpu-node|engine|client|cli|proto|bench|scripts|deploy|console)\/|^test\/(sim|plan|servers|faulty-node)\//;
    for (const name of listed.filter(
      (each) => isSource.test(each) && existsSync(join(root, each)),
    )) {
      mkdirSync(join(folder, "build", dirname(name)), { recursive: true });
      cpSync(join(root, name), join(folder, "build", name));
    }
    symlinkSync(join(root, "node_modules"), join(folder, "build/node_modules"));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  test("build everything, and what is copied starts by its command", () => {
    const build = join(folder, "build");
    execFileSync("sh", ["deploy/docker/build.sh"], { cwd: build, stdio: "pipe" });
    const sbom = execFileSync("sh", [join(build, "deploy/docker/sbom.sh"), "--package-lock-only"], {
      cwd: pruned(join(folder, "pruned")),
    });
    writeFileSync(join(build, "sbom.cdx.json"), sbom);
    const image = join(folder, "image");
    mkdirSync(image);
    for (const [, from = "", to = ""] of stageOf("base").matchAll(
      /COPY --from=build \/app\/(\S+) (\S+)/g,
    )) {
      if (from === "node_modules") symlinkSync(join(root, "node_modules"), join(image, from));
      else cpSync(join(build, from), join(image, to === "./" ? from : to), { recursive: true });
    }
    for (const name of ["coordinator", "gpu-node-cpu"]) {
      const [, entry = ""] = /CMD \["node", "(.+)"\]/.exec(stageOf(name)) ?? [];
      const run = spawnSync(process.execPath, [entry, "--help"], { cwd: image, encoding: "utf8" });
      expect({ status: run.status, said: run.stderr }, name).toMatchObject({ status: 0 });
      expect(run.stderr).toContain(`usage: node ${entry}`);
    }
  });

  test("list the packages that run, each with its hash, and no tool of development", () => {
    const text = readFileSync(join(folder, "image", "sbom.cdx.json"), "utf8");
    const { bomFormat, components } = JSON.parse(text) as {
      bomFormat: string;
      components: { name: string; version: string; hashes?: unknown[] }[];
    };
    expect(bomFormat).toBe("CycloneDX");
    const { dependencies, devDependencies } = JSON.parse(readText("package.json")) as Record<
      "dependencies" | "devDependencies",
      Record<string, string>
    >;
    const listed = new Map(components.map((component) => [component.name, component]));
    for (const [name, version] of Object.entries(dependencies)) {
      expect(listed.get(name)).toMatchObject({ version, hashes: [expect.anything()] });
    }
    for (const name of ["typescript", "vitest", "eslint"]) {
      expect(devDependencies).toHaveProperty(name);
      expect(listed.has(name)).toBe(false);
    }
  });
});

/** A folder whose package.json and lock name what `npm prune --omit=dev` leaves. */
function pruned(folder: string): string {
  mkdirSync(folder);
  const manifest = JSON.parse(readText("package.json")) as Record<string, object>;
  const lock = JSON.parse(readText("package-lock.json")) as {
    packages: Record<string, { dev?: boolean; devDependencies?: object }>;
  };
  delete manifest["devDependencies"];
  delete lock.packages[""]?.devDependencies;
  for (const [name, entry] of Object.entries(lock.packages)) {
    if (entry.dev) delete lock.packages[name];
  }
  writeFileSync(join(folder, "package.json"), JSON.stringify(manifest));
  writeFileSync(join(folder, "package-lock.json"), JSON.stringify(lock));
  return folder;
}
