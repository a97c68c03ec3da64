/**
 * @file Fetches a checkpoint before a node starts, as the init container of a pod:
 * `gpu-node/fetch-checkpoint.js --from URL --manifest FILE --to DIR`.
 */
import { readFileSync } from "node:fs";
import pino from "pino";
import { openBlobStore } from "../shared/adapters/open-blob-store.js";
import { asFarmError } from "../shared/core/errors.js";
import { fetchFiles, parseManifest } from "./checkpoint/fetch-files.js";
import { readFetchSettings, USAGE } from "./checkpoint/fetch-settings.js";

const log = pino({ name: "fetch-checkpoint" }, pino.destination({ fd: 2, sync: true }));

async function main(): Promise<void> {
  const settings = readFetchSettings(process.argv.slice(2), process.env);
  if (!settings) {
    process.stderr.write(USAGE);
    return;
  }
  const { from, manifest, to } = settings;
  const refs = parseManifest(readFileSync(manifest, "utf8"));
  const store = await openBlobStore(from, { env: process.env, log, role: "uses" });
  const outcome = await fetchFiles(store, refs, to);
  const bytes = refs.reduce((sum, { size }) => sum + size, 0);
  log.info({ files: refs.length, bytes, folder: to }, `the checkpoint is ${outcome}`);
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    const { code, detail } = asFarmError(error);
    log.fatal({ code }, detail);
    process.exit(code === "invalid-argument" ? 2 : 1);
  },
);
