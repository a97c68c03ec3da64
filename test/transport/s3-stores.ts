/** @file What tests with real S3 servers share: which there are, and stores that give up soon. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { S3BlobStore, type S3BlobStoreParts } from "../../shared/adapters/s3/s3-blob-store.js";
import { CALL_LIMITS_DEFAULT, type CallLimits } from "../../shared/adapters/s3/s3-calls.js";
import { S3Client } from "../../shared/adapters/s3/s3-client.js";
import { silentLog } from "../../shared/ports/log.js";
import type { LookedInto } from "../farm/published.js";
import {
  BUCKET,
  type S3Identity,
  type S3ServerKind,
  type TestS3Server,
} from "../servers/s3-server.js";
import { serverPath } from "../servers/server-path.js";

/** Servers that are there or could be installed. */
export async function serversAtHand(): Promise<S3ServerKind[]> {
  const kinds = ["minio", "seaweedfs"] as const;
  const paths = await Promise.all(kinds.map(serverPath));
  return kinds.filter((_, i) => paths[i] !== null);
}

const FARM = `${BUCKET}/farm/*`;
/** The users of a farm as docs/s3.md says. */
export const S3_ROLES: Readonly<Record<string, S3Identity>> = {
  coordinator: {
    actions: [`Read:${FARM}`, `Write:${FARM}`, `List:${FARM}`],
    policy: shippedPolicy("coordinator"),
  },
  node: {
    actions: [`Read:${FARM}`, `Write:${FARM}`, `List:${FARM}`],
    policy: shippedPolicy("node"),
  },
  signer: { actions: [`Read:${FARM}`], policy: shippedPolicy("signer") },
};

/** A policy of deploy/s3, of our bucket and prefix instead of films/blue. */
function shippedPolicy(role: string): object {
  const text = readFileSync(new URL(`../../deploy/s3/${role}.json`, import.meta.url), "utf8");
  const ours = text.replaceAll(":::films", `:::${BUCKET}`).replaceAll("blue/", "farm/");
  return JSON.parse(ours) as object;
}

/** Deadlines that a test can wait for; a real server on a busy machine still keeps them. */
export const SOON: CallLimits = {
  ...CALL_LIMITS_DEFAULT,
  ...{ answerMsMax: 1_500, bytesPerSMin: 256 * 1024, triesMax: 2 },
  ...{ pauseMsMin: 20, pauseMsMax: 200, failuresMax: 4, openMs: 500 },
};

export function openStore(
  server: TestS3Server,
  more: Partial<S3BlobStoreParts> = {},
): Promise<S3BlobStore> {
  return S3BlobStore.open({
    ...{ location: server.location(), credentials: server.credentials(), log: silentLog },
    ...{ role: "publishes", ...more },
  });
}

/** A look into a server's store, with every right. Whoever takes it closes it. */
export async function lookInto(
  server: TestS3Server,
): Promise<LookedInto & { readonly close: () => void }> {
  const blobs = await openStore(server, { role: "uses" });
  const client = new S3Client(server.location(), server.credentials());
  const { prefix } = server.location();
  return {
    blobs,
    textOf: async (key) => {
      const signal = AbortSignal.timeout(CALL_LIMITS_DEFAULT.answerMsMax);
      return text((await client.get(`${prefix}/${key}`, 0, signal)).body);
    },
    close: () => {
      blobs.close();
      client.close();
    },
  };
}

/** Turns over a bit of some bytes wherever they lie in a folder; returns in how many files. */
export function damageOnDisk(folder: string, bytes: Buffer): number {
  let found = 0;
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    const content = readFileSync(path);
    const at = content.indexOf(bytes);
    if (at < 0) continue;
    content[at]! ^= 1;
    writeFileSync(path, content);
    found += 1;
  }
  return found;
}
