/**
 * @file A process's certificate, its key and the roots it trusts, read from files and read again
 * while it runs: a rotation needs no restart.
 */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { assert } from "../../core/assert.js";
import { FarmError } from "../../core/errors.js";
import type { CancelTimer, Clock } from "../../ports/clock.js";
import type { Log } from "../../ports/log.js";
import { readSecretFile, readTextFile } from "../files/secret-file.js";
import { type Identity, type Role, readIdentity } from "./identity.js";

export interface TlsPaths {
  /** PEM of one or more roots. */
  readonly ca: string;
  /** PEM of the certificate and what leads from it to a root. */
  readonly cert: string;
  readonly key: string;
}

export interface TlsMaterial {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
  readonly identity: Identity;
  /** Milliseconds since 1970. */
  readonly startsAtMs: number;
  /** Milliseconds since 1970. */
  readonly endsAtMs: number;
}

/** How soon a change of the files is seen. */
const LOOK_MS = 1_000;
/** A certificate with less of its life left should have been renewed. */
const LIFE_LEFT_MIN = 0.2;

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
  assert(leaf, "a certificate in what was parsed");
  const refuse = (what: string): never => {
    throw new FarmError("invalid-argument", what);
  };
  if (!leaf.checkPrivateKey(parseKey(texts.key, paths.key))) {
    refuse(`--tls-key: ${paths.key} is not the key of the certificate ${paths.cert}`);
  }
  if (!leadsTo(leaf, between, roots)) {
    refuse(`--tls-cert: no root in ${paths.ca} issued the certificate ${paths.cert}`);
  }
  const identity = readIdentity(leaf.subjectAltName);
  if (identity?.role !== role) {
    const found = identity === null ? "nobody of a farm" : `a ${identity.role}`;
    return refuse(`--tls-cert: ${paths.cert} is for ${found}, and here a ${role}'s is needed`);
  }
  const endsAtMs = Date.parse(leaf.validTo);
  if (endsAtMs <= nowMs) {
    refuse(`--tls-cert: ${paths.cert} ended at ${leaf.validTo}; renew it: renderfarm certs rotate`);
  }
  return { ...texts, identity, startsAtMs: Date.parse(leaf.validFrom), endsAtMs };
}

export interface TlsFilesOptions {
  readonly role: Role;
  readonly clock: Clock;
  /** Milliseconds since 1970. */
  readonly wallMs: () => number;
  readonly log: Log;
}

export class TlsFiles {
  readonly #paths: TlsPaths;
  readonly #options: TlsFilesOptions;
  readonly #listeners = new Set<(material: TlsMaterial) => void>();
  #material: TlsMaterial;
  #cancelLook: CancelTimer = () => {};
  /** The last reason why new files were not taken: said once. */
  #refused = "";
  #hasWarned = false;

  /** @throws what `loadTls` throws */
  constructor(paths: TlsPaths, options: TlsFilesOptions) {
    this.#paths = paths;
    this.#options = options;
    this.#material = loadTls(paths, options.role, options.wallMs());
    this.#lookLater();
  }

  /** The newest that could be used. */
  get current(): TlsMaterial {
    return this.#material;
  }

  /** @returns ends it */
  onChange(listener: (material: TlsMaterial) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Stops looking. */
  close(): void {
    this.#cancelLook();
    this.#listeners.clear();
  }

  #lookLater(): void {
    this.#cancelLook = this.#options.clock.after(LOOK_MS, () => {
      this.#look();
      this.#lookLater();
    });
  }

  /** A key and a certificate that are being replaced fit each other again a moment later. */
  #look(): void {
    const { role, wallMs, log } = this.#options;
    try {
      const texts = readTexts(this.#paths);
      if (!isEqual(texts, this.#material)) {
        this.#material = checkTexts(texts, this.#paths, role, wallMs());
        this.#hasWarned = false;
        const { endsAtMs } = this.#material;
        log.info(`took a new certificate, good until ${new Date(endsAtMs).toISOString()}`);
        for (const listener of this.#listeners) listener(this.#material);
      }
      this.#refused = "";
    } catch (error) {
      const { message } = error as Error;
      if (message !== this.#refused) log.warn(`the certificate stays what it was: ${message}`);
      this.#refused = message;
    }
    this.#warnOfEnd();
  }

  #warnOfEnd(): void {
    const { startsAtMs, endsAtMs } = this.#material;
    const left = (endsAtMs - this.#options.wallMs()) / (endsAtMs - startsAtMs);
    if (left > LIFE_LEFT_MIN || this.#hasWarned) return;
    this.#hasWarned = true;
    const end = new Date(endsAtMs).toISOString();
    this.#options.log.warn(`the certificate ends at ${end}; renew it: renderfarm certs rotate`);
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

const PEM_PATTERN = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

function parseCertificates(text: string, what: string): X509Certificate[] {
  try {
    const certificates = (text.match(PEM_PATTERN) ?? []).map((pem) => new X509Certificate(pem));
    if (certificates.length > 0) return certificates;
  } catch {
    // said below
  }
  throw new FarmError("invalid-argument", `${what} holds no certificate in PEM`);
}

function parseKey(pem: string, path: string): ReturnType<typeof createPrivateKey> {
  try {
    return createPrivateKey(pem);
  } catch {
    throw new FarmError("invalid-argument", `--tls-key: ${path} holds no private key in PEM`);
  }
}
