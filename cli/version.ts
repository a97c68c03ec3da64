/** @file `renderfarm version`: what runs here, and at the other end. */
import { createRequire } from "node:module";
import { packageVersion } from "../shared/adapters/files/package-version.js";
import type { ConnectionFlags } from "./connection.js";
import { withFarm } from "./jobs.js";
import { type OutputFlags, printList } from "./output.js";

export interface VersionFlags extends ConnectionFlags, OutputFlags {
  readonly server?: boolean;
}

interface Part {
  readonly part: string;
  readonly version: string;
}

/** @throws FarmError "unreachable" where a farm is asked and none answers */
export async function version(flags: VersionFlags): Promise<void> {
  const parts: Part[] = [
    { part: "renderfarm", version: packageVersion() },
    { part: "node", version: process.versions.node },
    { part: "onnxruntime", version: runtimeVersion() },
  ];
  if (flags.server) parts.push(await serverOf(flags));
  printList(parts, flags, {
    columns: [
      { heading: "PART", cell: ({ part }) => part },
      { heading: "VERSION", cell: ({ version: found }) => found },
    ],
    name: ({ part, version: found }) => `${part}@${found}`,
  });
}

async function serverOf(flags: ConnectionFlags): Promise<Part> {
  const farm = await withFarm(flags, (client) => client.getFarm());
  return { part: "coordinator", version: farm.version || "unknown" };
}

/** Without loading it, which takes longer than everything else here. */
function runtimeVersion(): string {
  const manifest = createRequire(import.meta.url)("onnxruntime-node/package.json");
  return (manifest as { version: string }).version;
}
