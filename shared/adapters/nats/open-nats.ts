/**
 * @file A connection to the NATS server that a setting names. The files of its URL and its key are read
 * again while it lasts: whatever connection comes next shows and trusts what they hold then.
 */
import { readFileSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
import type { Environment } from "../../settings/setting-reader.js";
import { whyNoSecret } from "../files/secret-file.js";
import { Watched } from "../files/watched.js";
import {
  type FollowOptions,
  followCertificates,
  type UsedCertificate,
  usedPair,
  usedRoots,
} from "../tls/used-certificate.js";
import { NatsClient, type NatsSettings } from "./nats-client.js";
import { type NatsLocation, parseNatsLocation } from "./nats-location.js";

export interface OpenNatsOptions extends FollowOptions {
  /** The flag that the URL was given by, for messages. */
  readonly flag: string;
  /** Holds the role's key, or names its file. */
  readonly env: Environment;
  /** How long the first connection may take. */
  readonly connectMs?: number;
}

interface NatsFiles {
  readonly location: NatsLocation;
  readonly certificates: readonly UsedCertificate[];
}

/**
 * @param who asks
 * @throws FarmError "invalid-argument" when the setting cannot work, "unreachable" when no server
 *   answers
 */
export async function openNats(
  url: string,
  who: Pick<NatsSettings, "role" | "name">,
  options: OpenNatsOptions,
): Promise<{ readonly client: NatsClient; readonly location: NatsLocation }> {
  const { flag, env, wallMs, log } = options;
  const readFile = (path: string) => readFileSync(path, "utf8");
  const read = (before: NatsFiles | null): NatsFiles => {
    const location = parseNatsLocation(url, { flag, env, readFile, whyNoSecret });
    if (before && isDeepStrictEqual(location, before.location)) return before;
    const { tls } = location.connection;
    return { location, certificates: tls ? certificatesOf(tls, flag, wallMs()) : [] };
  };
  const stays = "NATS is shown and trusted by what was in its files before";
  const files = new Watched(read, { ...options, stays });
  try {
    const { location } = files.current;
    const client = await NatsClient.connect({ ...location.connection, ...who }, options);
    files.onChange((next) => {
      client.renew(next.location.connection);
      log.info("took new files for NATS; connections that follow use them");
    });
    // Something may have changed while the first connection was made.
    client.renew(files.current.location.connection);
    followCertificates(files, options);
    client.onClose(() => files.close());
    return { client, location };
  } catch (error) {
    files.close();
    throw error;
  }
}

function certificatesOf(
  tls: NonNullable<NatsSettings["tls"]>,
  flag: string,
  nowMs: number,
): UsedCertificate[] {
  const { ca, cert, key } = tls;
  const roots = usedRoots("nats-roots", ca, `${flag} ca=`, nowMs);
  return cert && key ? [roots, usedPair("nats", { cert, key }, flag, nowMs)] : [roots];
}
