/** @file Finds the ffmpeg of this machine: the one asked for, the one on PATH, or the bundled one. */
import { execFile } from "node:child_process";
import { createRequire } from "node:module";
import { promisify } from "node:util";
import { FarmError } from "../../../shared/core/errors.js";

export interface Ffmpeg {
  /** A path, or a name that PATH resolves. */
  readonly path: string;
  /** As ffmpeg says it, e.g. "6.1.1". */
  readonly version: string;
}

/** Names an ffmpeg to use instead of any other. */
export const FFMPEG_VARIABLE = "RENDERFARM_FFMPEG";
const PROBE_TIMEOUT_MS = 10_000;

/**
 * The first ffmpeg that runs: $RENDERFARM_FFMPEG, then PATH, then the optional dependency
 * @ffmpeg-installer/ffmpeg.
 *
 * @returns null when this machine has none
 * @throws FarmError "tool-failed" when $RENDERFARM_FFMPEG is set and does not run
 */
export async function findFfmpeg(
  env: Readonly<Record<string, string | undefined>> = process.env,
): Promise<Ffmpeg | null> {
  const wanted = env[FFMPEG_VARIABLE];
  if (wanted !== undefined && wanted !== "") {
    const version = await probe(wanted, env);
    if (version !== null) return { path: wanted, version };
    throw new FarmError(
      "tool-failed",
      `${FFMPEG_VARIABLE}=${wanted} is not an ffmpeg that runs here`,
    );
  }
  for (const path of ["ffmpeg", bundledPath()]) {
    const version = path === null ? null : await probe(path, env);
    if (path !== null && version !== null) return { path, version };
  }
  return null;
}

function bundledPath(): string | null {
  try {
    const require = createRequire(import.meta.url);
    return (require("@ffmpeg-installer/ffmpeg") as { path: string }).path;
  } catch {
    return null; // optional: not installed, or not made for this platform
  }
}

/** The version of what runs under this path, null when that is no ffmpeg. */
async function probe(
  path: string,
  env: Readonly<Record<string, string | undefined>>,
): Promise<string | null> {
  try {
    const options = { timeout: PROBE_TIMEOUT_MS, env: { ...env } };
    const { stdout } = await promisify(execFile)(path, ["-version"], options);
    return /^ffmpeg version (\S+)/.exec(stdout)?.[1] ?? null;
  } catch {
    return null;
  }
}
