/** @file The farm that a command speaks to: its address, how to know it, and how to be known there. */
import type { Command } from "commander";
import type { Entry } from "../client/entry.js";
import { FarmClient } from "../client/farm-client.js";
import { DEFAULT_ADDRESS } from "../client/render-farm-client.js";
import { isToken } from "../shared/access/api-key.js";
import { readSecretFile, readTextFile } from "../shared/adapters/files/secret-file.js";
import { FarmError, refuseViolations, type Violation } from "../shared/core/errors.js";
import { callNotes } from "./voice.js";

export interface ConnectionFlags {
  readonly address?: string;
  readonly tlsCa?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly token?: string;
}

/** Each stands for its flag. */
const VARIABLES = {
  address: "RENDERFARM_ADDRESS",
  tlsCa: "RENDERFARM_TLS_CA",
  tlsCert: "RENDERFARM_TLS_CERT",
  tlsKey: "RENDERFARM_TLS_KEY",
  token: "RENDERFARM_TOKEN",
} as const satisfies Record<keyof ConnectionFlags, string>;
/** A token in a file is in nobody's list of processes. */
const TOKEN_FILE_VARIABLE = "RENDERFARM_TOKEN_FILE";

export function addConnection(command: Command): Command {
  return command
    .option(
      "--address <host:port>",
      `the farm (default: $${VARIABLES.address}, or ${DEFAULT_ADDRESS})`,
    )
    .option("--tls-ca <file>", `roots of the farm's certificates ($${VARIABLES.tlsCa})`)
    .option("--tls-cert <file>", `your certificate, where you have one ($${VARIABLES.tlsCert})`)
    .option("--tls-key <file>", `its key ($${VARIABLES.tlsKey})`)
    .option("--token <key>", `your key ($${VARIABLES.token}, or the file $${TOKEN_FILE_VARIABLE})`);
}

/** @throws FarmError "invalid-argument" with everything that is missing or does not fit */
export function connect(flags: ConnectionFlags): FarmClient {
  return new FarmClient(
    setting(flags, "address") ?? DEFAULT_ADDRESS,
    readEntry(flags),
    callNotes(),
  );
}

function setting(flags: ConnectionFlags, name: keyof ConnectionFlags): string | undefined {
  return flags[name] ?? (process.env[VARIABLES[name]] || undefined);
}

function readEntry(flags: ConnectionFlags): Entry | null {
  const violations: Violation[] = [];
  const refuse = (field: string, description: string) => violations.push({ field, description });
  const [ca, cert, key] = (["tlsCa", "tlsCert", "tlsKey"] as const).map((n) => setting(flags, n));
  const token = readToken(flags);
  if (ca === undefined && (cert ?? key ?? token) !== undefined) {
    refuse("--tls-ca", "is missing; keys and certificates are shown over TLS only");
  }
  if ((cert === undefined) !== (key === undefined)) {
    refuse(cert === undefined ? "--tls-cert" : "--tls-key", "is missing beside the other one");
  }
  if (token !== undefined && !isToken(token)) refuse("--token", "is no key: rf_<id>_<secret>");
  refuseViolations(violations);
  if (ca === undefined) return null;
  const pair =
    cert === undefined || key === undefined
      ? null
      : { cert: readTextFile(cert, "--tls-cert"), key: readSecretFile(key, "--tls-key") };
  return { tls: { ca: readTextFile(ca, "--tls-ca"), pair }, token: token ?? null };
}

function readToken(flags: ConnectionFlags): string | undefined {
  const path = process.env[TOKEN_FILE_VARIABLE];
  return (
    setting(flags, "token") ?? (path ? readSecretFile(path, TOKEN_FILE_VARIABLE).trim() : undefined)
  );
}

/** Adds to "nobody answers" what to do about it. */
export function withWayOut(error: unknown): unknown {
  if (!(error instanceof FarmError) || error.code !== "unreachable") return error;
  const way = `start a farm with 'renderfarm dev', or name another with --address or ${VARIABLES.address}`;
  return new FarmError("unreachable", `${error.detail}; ${way}`, { cause: error });
}
