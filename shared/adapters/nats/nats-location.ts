/**
 * @file Where a NATS server is and as whom it is asked: a URL, and a key from the environment.
 *
 *     nats://HOST:PORT[,HOST:PORT...][/FARM]?ca=FILE&cert=FILE&key=FILE&prefix=rf
 *     &replicas=3
 */
import { type FarmError, refusal, refuseViolations, type Violation } from "../../core/errors.js";
import type { NatsSettings } from "./nats-client.js";
import { FARM_DEFAULT, type FarmNames, NAME_PATTERN, PREFIX_DEFAULT } from "./nats-names.js";

/** A farm on a server, for one role. */
export interface NatsLocation {
  readonly names: FarmNames;
  readonly connection: Pick<NatsSettings, "servers" | "seed" | "tls">;
  /** Servers that keep a copy of what is made here: a cluster of three keeps 3. Default: 1. */
  readonly replicas: number;
}

/** What the reading of a location takes from the process around it. */
interface Surroundings {
  /** The flag that the URL was given by, for messages. */
  readonly flag: string;
  /** Holds the role's key: RENDERFARM_NATS_NKEY_SEED, or the file that ..._FILE names. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Text of a file; throws when it cannot be read. */
  readonly readFile: (path: string) => string;
  /** Why a file must hold no key, and the way out; null: it may. */
  readonly whyNoSecret: (path: string) => string | null;
}

const NATS_FORM = "nats://HOST:PORT[,HOST:PORT][/FARM]?ca=FILE";
const URL_PATTERN = /^nats:\/\/([^/?]+)(?:\/([^/?]*))?(?:\?(.*))?$/;
const SERVER_PATTERN = /^(\[[0-9a-f:.]+\]|[A-Za-z0-9.-]+):(\d{1,5})$/;
const PARAMETERS = ["ca", "cert", "key", "prefix", "replicas"];
const LOOPBACK = new Set(["127.0.0.1", "localhost", "[::1]"]);
const SEED = "RENDERFARM_NATS_NKEY_SEED";
/** Of a user: "SU", as nkeys begin. */
const SEED_PATTERN = /^SU[A-Z2-7]{56}$/;

/** Whether a setting has the form of a NATS server at all; the rest shows when it is opened. */
export function isNatsUrl(text: string): boolean {
  return text.startsWith("nats://");
}

/**
 * Beyond this machine TLS and a key are needed: a server that asks for neither is open to everybody.
 *
 * @throws FarmError "invalid-argument" with every wrong part at once
 */
export function parseNatsLocation(text: string, around: Surroundings): NatsLocation {
  const [, hosts, farm = "", query = ""] = URL_PATTERN.exec(text) ?? [];
  if (!hosts) throw wrongUrl(text, around.flag);
  const violations: Violation[] = [];
  const check = (isLegal: boolean, description: string, field = around.flag): void => {
    if (!isLegal) violations.push({ field, description });
  };
  const parameters = new URLSearchParams(query);
  const unknown = [...parameters.keys()].filter((name) => !PARAMETERS.includes(name));
  check(unknown.length === 0, `has unknown parts: ${unknown.join(", ")}`);
  const servers = hosts.split(",");
  for (const server of servers) check(isServer(server), `"${server}" is not HOST:PORT`);
  const names = { prefix: parameters.get("prefix") ?? PREFIX_DEFAULT, farm: farm || FARM_DEFAULT };
  for (const name of Object.values(names)) {
    check(NAME_PATTERN.test(name), `"${name}" is not 1 to 32 characters of [a-z0-9-]`);
  }
  const replicas = Number(parameters.get("replicas") ?? 1);
  check([1, 3, 5].includes(replicas), `replicas=${parameters.get("replicas")} is not 1, 3 or 5`);
  const file = (name: string, read: typeof textOf): string | null => {
    const path = parameters.get(name);
    return path === null ? null : read(`${around.flag} ${name}=`, path, around, violations);
  };
  const [ca, cert, key] = [file("ca", textOf), file("cert", textOf), file("key", secretOf)];
  check((cert === null) === (key === null), "cert=FILE and key=FILE come together");
  const seedPath = around.env[`${SEED}_FILE`];
  const seed =
    around.env[SEED] || (seedPath ? secretOf(`${SEED}_FILE`, seedPath, around, violations) : null);
  check(seed === null || SEED_PATTERN.test(seed), "is no seed of a user's nkey (SU...)", SEED);
  const isLocal = servers.every((server) => LOOPBACK.has(server.slice(0, server.lastIndexOf(":"))));
  check(isLocal || ca !== null, "needs ca=FILE: beyond this machine the server must show TLS");
  check(isLocal || seed !== null, "is missing; a server beyond this machine asks for a key", SEED);
  refuseViolations(violations);
  const tls = ca === null ? null : { ca, ...(cert && key ? { cert, key } : {}) };
  return { names, connection: { servers, seed, tls }, replicas };
}

function isServer(text: string): boolean {
  const port = Number(SERVER_PATTERN.exec(text)?.[2]);
  return port >= 1 && port <= 65_535;
}

function textOf(
  field: string,
  path: string,
  { readFile }: Surroundings,
  violations: Violation[],
): string | null {
  try {
    return readFile(path).trim();
  } catch (error) {
    const description = `"${path}" cannot be read: ${(error as Error).message}`;
    violations.push({ field, description });
    return null;
  }
}

function secretOf(
  field: string,
  path: string,
  around: Surroundings,
  violations: Violation[],
): string | null {
  const text = textOf(field, path, around, violations);
  const description = text === null ? null : around.whyNoSecret(path);
  if (description !== null) violations.push({ field, description });
  return text;
}

function wrongUrl(text: string, flag: string): FarmError {
  return refusal([{ field: flag, description: `"${text.slice(0, 80)}" is not ${NATS_FORM}` }]);
}
