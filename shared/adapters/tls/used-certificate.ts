/** @file Certificates by which a process reaches other servers, as files that their URLs name. */
import { FarmError } from "../../core/errors.js";
import type { Clock } from "../../ports/clock.js";
import type { Log } from "../../ports/log.js";
import type { Watched } from "../files/watched.js";
import { EndWarning } from "./end-warning.js";
import { checkKey, parseCertificates, type Validity, validityOf, validityOfRoots } from "./pem.js";

/** "farm": the process's own, among coordinator, nodes and users. The others: shown to, or trusted of. */
export type CertificateUse = "farm" | "nats" | "nats-roots" | "s3-roots";

export interface UsedCertificate extends Validity {
  readonly use: CertificateUse;
}

/** What it takes to look at files again while a process runs. */
export interface FollowOptions {
  readonly clock: Clock;
  readonly log: Log;
  /** Milliseconds since 1970. */
  readonly wallMs: () => number;
  /** Hears of each certificate, at first and when it changes. */
  readonly onCertificate: (certificate: UsedCertificate) => void;
}

/**
 * Checks the roots of a server.
 *
 * @param what for messages, e.g. "--journal ca="
 * @param nowMs milliseconds since 1970
 * @throws FarmError "invalid-argument" when they are no PEM, or all have ended
 */
export function usedRoots(
  use: CertificateUse,
  text: string,
  what: string,
  nowMs: number,
): UsedCertificate {
  return { use, ...notEnded(validityOfRoots(parseCertificates(text, what)), what, nowMs) };
}

/**
 * Checks a certificate that is shown to a server, and its key.
 *
 * @param flag for messages, e.g. "--journal"
 * @param nowMs milliseconds since 1970
 * @throws FarmError "invalid-argument" when one is no PEM, they are no pair, or it has ended
 */
export function usedPair(
  use: CertificateUse,
  { cert, key }: { readonly cert: string; readonly key: string },
  flag: string,
  nowMs: number,
): UsedCertificate {
  const [leaf] = parseCertificates(cert, `${flag} cert=`);
  checkKey(key, leaf, `${flag} key=`);
  return { use, ...notEnded(validityOf(leaf), `${flag} cert=`, nowMs) };
}

function notEnded(validity: Validity, what: string, nowMs: number): Validity {
  if (validity.endsAtMs > nowMs) return validity;
  const end = new Date(validity.endsAtMs).toISOString();
  throw new FarmError("invalid-argument", `${what} ended at ${end}; put a newer one into the file`);
}

/** Tells of what the files hold, at first and when it changes, and warns of what ends soon. */
export function followCertificates<T extends { readonly certificates: readonly UsedCertificate[] }>(
  files: Watched<T>,
  { wallMs, log, onCertificate }: FollowOptions,
): void {
  const warnings = new Map<CertificateUse, EndWarning>();
  const tell = () => files.current.certificates.forEach(onCertificate);
  tell();
  files.onChange(tell);
  files.onLook(() => {
    for (const certificate of files.current.certificates) {
      const { use } = certificate;
      const what = `the certificate "${use}"`;
      const warning =
        warnings.get(use) ?? new EndWarning(what, "put a newer one into its file", { wallMs, log });
      warnings.set(use, warning);
      warning.look(certificate);
    }
  });
}
