/** @file Which execution provider a node runs on, by what the machine has. */
import { readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { FarmError } from "../../shared/core/errors.js";
import type { Provider, ProviderChoice } from "./provider.js";

/** What of a machine tells which providers it has. */
export interface ProviderSurroundings {
  readonly platform: NodeJS.Platform;
  /** Names of the engine's libraries. */
  readonly engineFiles: readonly string[];
  /** Names in /dev and /dev/dri; none where there is no such folder. */
  readonly devices: readonly string[];
}

/**
 * Pure. "auto" is cuda, else webgpu where a graphics device is there, else cpu; never tensorrt, which
 * compiles for minutes at every start, since the package cannot tell it where to keep the result.
 *
 * @throws FarmError "invalid-argument" for one that is not there, with what is missing and the way out
 */
export function chooseProvider(
  choice: ProviderChoice,
  surroundings: ProviderSurroundings,
): Provider {
  if (choice === "auto") {
    if (whatCudaLacks("cuda", surroundings) === null) return "cuda";
    return hasGraphics(surroundings) ? "webgpu" : "cpu";
  }
  if (choice === "cpu" || choice === "webgpu") return choice; // webgpu: only its start tells
  const lacks = whatCudaLacks(choice, surroundings);
  if (lacks === null) return choice;
  throw new FarmError("invalid-argument", `--provider ${choice}: ${lacks}, or take --provider cpu`);
}

function whatCudaLacks(
  provider: "cuda" | "tensorrt",
  { engineFiles, devices }: ProviderSurroundings,
): string | null {
  if (!engineFiles.some((name) => name.includes(`onnxruntime_providers_${provider}`))) {
    return (
      `the engine's library for it is not beside onnxruntime-node; take the image gpu-node-cuda, or ` +
      `run "sh deploy/docker/cuda-provider.sh" in the folder of renderfarm`
    );
  }
  if (devices.some((name) => /^nvidia\d+$/.test(name)) || devices.includes("dxg")) return null;
  return "this machine shows no NVIDIA device (/dev/nvidia0); start the container with its GPU";
}

/** Metal and Direct3D are part of their systems; elsewhere the kernel shows what can draw. */
function hasGraphics({ platform, devices }: ProviderSurroundings): boolean {
  if (platform === "darwin" || platform === "win32") return true;
  return devices.some((name) => name.startsWith("renderD"));
}

/** This machine. */
export function providerSurroundings(): ProviderSurroundings {
  const manifest = createRequire(import.meta.url).resolve("onnxruntime-node/package.json");
  const libraries = join(dirname(manifest), "bin", "napi-v6", process.platform, process.arch);
  return {
    platform: process.platform,
    engineFiles: namesIn(libraries),
    devices: [...namesIn("/dev"), ...namesIn("/dev/dri")],
  };
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return []; // not there, or not for us: then there is nothing in it for us either
  }
}
