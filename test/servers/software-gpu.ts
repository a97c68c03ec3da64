/** @file A graphics device in software for tests of the WebGPU provider: SwiftShader, as Chromium ships it. */
import { existsSync } from "node:fs";
import { dirname } from "node:path";

/** Where distributions put it. */
const DRIVERS = [
  "/usr/lib/chromium/vk_swiftshader_icd.json",
  "/usr/lib64/chromium-browser/vk_swiftshader_icd.json",
  "/opt/google/chrome/vk_swiftshader_icd.json",
];

/**
 * Environment variables with which a process finds a Vulkan device; null where there is none, and
 * then the tests that need it are left out with a word of why on stderr.
 */
export const softwareGpu: Readonly<Record<string, string>> | null = find();

function find(): Record<string, string> | null {
  const given = process.env["VK_ICD_FILENAMES"];
  if (given) return { VK_ICD_FILENAMES: given };
  const driver = DRIVERS.find((path) => existsSync(path));
  if (driver !== undefined) {
    // Its loader, libvulkan.so.1, lies beside it.
    return { VK_ICD_FILENAMES: driver, LD_LIBRARY_PATH: dirname(driver) };
  }
  const where = "install chromium, or name a Vulkan driver by VK_ICD_FILENAMES";
  process.stderr.write(`tests of the webgpu provider are left out: no driver; ${where}\n`);
  return null;
}
