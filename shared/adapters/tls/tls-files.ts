/**
 * @file A process's certificate, its key and the roots it trusts, read from files and read again
 * while it runs: a rotation needs no restart.
 */
import type { X509Certificate } from "node:crypto";
import { FarmError } from "../../core/errors.js";
import type { Clock } from "../../ports/clock.js";
import type { Log } from "../../ports/log.js";
import { readSecretFile, readTextFile } from "../files/secret-file.js";
import { Watched } from "../files/watched.js";
import { EndWarning } from "./end-warning.js";
import { type Identity, type Role, readIdentity } from "./identity.js";
import { checkKey, parseCertificates, type Validity, validityOf } from "./pem.js";

export interface TlsPaths {
  /** PEM of one or more roots. */
  readonly ca: string;
  /** PEM of the certificate and what leads from it to a root. */
  readonly cert: string;
  readonly key: string;
}

export interface TlsMaterial extends Validity {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
  readonly identity: Identity;
}

/** The three files as they are. */
interface Texts {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

function readTexts(paths: TlsPaths): Texts {
  return {
    ca: readTextFile(paths.ca, "--tls-ca"),
    cert: readTextFile(paths.cert, "--tls-cert"),
    key: readSecretFile(paths.key, "--tls-key"),
  };
}

/**
 * Reads and checks all three files.
 *
 * @param nowMs milliseconds since 1970
 * @throws FarmError "invalid-argument" when one cannot be read or is no PEM, the key is not the
 *   certificate's or is readable by everyone, no root of the file issued it, it has ended, or it is
 *   for another role
 */
export function loadTls(paths: TlsPaths, role: Role, nowMs: number): TlsMaterial {
  return checkTexts(readTexts(paths), paths, role, nowMs);
}

function checkTexts(texts: Texts, paths: TlsPaths, role: Role, nowMs: number): TlsMaterial {
  const roots = parseCertificates(texts.ca, `--tls-ca: ${paths.ca}`);
  const [leaf, ...between] = parseCertificates(texts.cert, `--tls-cert: ${paths.cert}`);
  const refuse = (what: string): never => {
    throw new FarmError("invalid-argument", what);
  };
  checkKey(texts.key, leaf, `--tls-key: ${paths.key}`);
  if (!leadsTo(leaf, between, roots)) {
    refuse(`--tls-cert: no root in ${paths.ca} issued the certificate ${paths.cert}`);
  }
  const identity = readIdentity(leaf.subjectAltName);
  if (identity?.role !== role) {
    const found = identity === null ? "nobody of a farm" : `a ${identity.role}`;
    return refuse(`--tls-cert: ${paths.cert} is for ${found}, and here a ${role}'s is needed`);
  }
  const validity = validityOf(leaf);
  if (validity.endsAtMs <= nowMs) {
    refuse(`--tls-cert: ${paths.cert} ended at ${leaf.validTo}; renew it: renderfarm certs rotate`);
  }
  return { ...texts, identity, ...validity };
}

export interface TlsFilesOptions {
  readonly role: Role;
  readonly clock: Clock;
  /** Milliseconds since 1970. */
  readonly wallMs: () => number;
  readonly log: Log;
}

export class TlsFiles {
  readonly #files: Watched<TlsMaterial>;

  /** @throws what `loadTls` throws */
  constructor(paths: TlsPaths, options: TlsFilesOptions) {
    const { role, wallMs, log } = options;
    const read = (before: TlsMaterial | null): TlsMaterial => {
      const texts = readTexts(paths);
      return before && isEqual(texts, before) ? before : checkTexts(texts, paths, role, wallMs());
    };
    this.#files = new Watched(read, { ...options, stays: "the certificate stays what it was" });
    this.#files.onChange(({ endsAtMs }) => {
      log.info(`took a new certificate, good until ${new Date(endsAtMs).toISOString()}`);
    });
    const warning = new EndWarning("the certificate", "renew it: renderfarm certs rotate", options);
    this.#files.onLook(() => warning.look(this.current));
  }

  /** The newest that could be used. */
  get current(): TlsMaterial {
    return this.#files.current;
  }

  /** @returns ends it */
  onChange(listener: (material: TlsMaterial) => void): () => void {
    return this.#files.onChange(listener);
  }

  /** Stops looking. */
  close(): void {
    this.#files.close();
  }
}

function isEqual(a: Texts, b: Texts): boolean {
  return a.ca === b.ca && a.cert === b.cert && a.key === b.key;
}

/** Whether a root issued it, or issued what issued it. */
function leadsTo(
  certificate: X509Certificate,
  between: readonly X509Certificate[],
  roots: readonly X509Certificate[],
): boolean {
  const isIssuer = (issuer: X509Certificate) =>
    certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
  if (roots.some(isIssuer)) return true;
  return between.some(
    (issuer, i) => isIssuer(issuer) && leadsTo(issuer, between.toSpliced(i, 1), roots),
  );
}
