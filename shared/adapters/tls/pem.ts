/** @file Certificates and keys as PEM: what a file must hold before it is used. */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { FarmError } from "../../core/errors.js";

/** One certificate that a process shows, or the roots that it trusts, with the times of one of them. */
export interface Validity {
  /** Milliseconds since 1970. */
  readonly startsAtMs: number;
  /** Milliseconds since 1970. */
  readonly endsAtMs: number;
}

const PEM_PATTERN = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/**
 * All certificates of a text, one at least.
 *
 * @param what for messages, e.g. "--tls-ca: ca.pem"
 * @throws FarmError "invalid-argument"
 */
export function parseCertificates(
  text: string,
  what: string,
): readonly [X509Certificate, ...X509Certificate[]] {
  try {
    const [first, ...rest] = (text.match(PEM_PATTERN) ?? []).map((pem) => new X509Certificate(pem));
    if (first) return [first, ...rest];
  } catch {
    // said below
  }
  throw new FarmError("invalid-argument", `${what} holds no certificate in PEM`);
}

/**
 * Refuses a key that is not the certificate's.
 *
 * @param what of the key, for messages, e.g. "--tls-key: key.pem"
 * @throws FarmError "invalid-argument"
 */
export function checkKey(pem: string, certificate: X509Certificate, what: string): void {
  let key: ReturnType<typeof createPrivateKey>;
  try {
    key = createPrivateKey(pem);
  } catch {
    throw new FarmError("invalid-argument", `${what} holds no private key in PEM`);
  }
  if (certificate.checkPrivateKey(key)) return;
  throw new FarmError("invalid-argument", `${what} is not the key of the certificate`);
}

/** When a certificate begins and ends. */
export function validityOf({ validFrom, validTo }: X509Certificate): Validity {
  return { startsAtMs: Date.parse(validFrom), endsAtMs: Date.parse(validTo) };
}

/** Of several roots the one that is good for longest: with it ends all trust. */
export function validityOfRoots(roots: readonly [X509Certificate, ...X509Certificate[]]): Validity {
  return roots.map(validityOf).reduce((a, b) => (b.endsAtMs > a.endsAtMs ? b : a));
}
