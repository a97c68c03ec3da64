/**
 * @file The farm's own certificate authority: ECDSA P-256, a root that signs leaves for one role each.
 *
 * When the root changes, the old one also signs the new one's key. A leaf carries that certificate
 * behind its own, so it is trusted by whoever knows either root, in whatever order files arrive.
 *
 * This file loads a large library: import it where certificates are made, not where they are used.
 *
 * @source RFC 5280; SPIFFE X.509-SVID for the shape of the SAN URI
 */
import "reflect-metadata";
import { randomBytes, webcrypto } from "node:crypto";
import { isIP } from "node:net";
import * as x509 from "@peculiar/x509";
import { type Identity, identityUri, type Role } from "./identity.js";

x509.cryptoProvider.set(webcrypto);

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;

/** A certificate and its private key, both as PEM. */
export interface KeyPair {
  readonly certificate: string;
  /** PKCS #8. */
  readonly key: string;
}

/** When a certificate is good. */
export interface Validity {
  readonly notBefore: Date;
  readonly notAfter: Date;
}

/** The coordinator answers, users ask, a node does both: its partners dial it. */
const USAGES = {
  coordinator: [x509.ExtendedKeyUsage.serverAuth],
  node: [x509.ExtendedKeyUsage.clientAuth, x509.ExtendedKeyUsage.serverAuth],
  user: [x509.ExtendedKeyUsage.clientAuth],
} as const satisfies Record<Role, readonly x509.ExtendedKeyUsage[]>;

/** A new root. Roots of one farm have different names, so that a chain can be told apart. */
export async function createAuthority(farm: string, validity: Validity): Promise<KeyPair> {
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: newSerial(),
    name: `CN=renderfarm CA ${randomBytes(4).toString("hex")},O=${farm}`,
    keys: keys,
    signingAlgorithm: ALGORITHM,
    ...validity,
    extensions: await rootExtensions(keys.publicKey, 1),
  });
  return toPem(certificate, keys.privateKey);
}

/** The newer root's key, vouched for by the older root until that one ends. */
export async function crossSign(newer: KeyPair, older: KeyPair): Promise<string> {
  const subject = new x509.X509Certificate(newer.certificate);
  const issuer = new x509.X509Certificate(older.certificate);
  const publicKey = await subject.publicKey.export(webcrypto);
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: newSerial(),
    subject: subject.subject,
    issuer: issuer.subject,
    publicKey,
    signingKey: await importKey(older.key),
    signingAlgorithm: ALGORITHM,
    notBefore: subject.notBefore,
    notAfter: earlier(subject.notAfter, issuer.notAfter),
    extensions: [
      ...(await rootExtensions(publicKey, 0)),
      await x509.AuthorityKeyIdentifierExtension.create(issuer, false, webcrypto),
    ],
  });
  return pemOf(certificate);
}

export interface LeafRequest extends Validity {
  readonly identity: Identity;
  /** Names and addresses that the coordinator is dialled by; none for other roles. */
  readonly hosts: readonly string[];
}

/** A certificate for one process or person, with a key of its own. */
export async function issueLeaf(
  authority: KeyPair,
  { identity, hosts, notBefore, notAfter }: LeafRequest,
): Promise<KeyPair> {
  const issuer = new x509.X509Certificate(authority.certificate);
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const uri = identityUri(identity);
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: newSerial(),
    subject: `CN=${identity.name || identity.role},O=${identity.farm}`,
    issuer: issuer.subject,
    publicKey: keys.publicKey,
    signingKey: await importKey(authority.key),
    signingAlgorithm: ALGORITHM,
    notBefore,
    // A leaf that outlives its root would fail without a word of why.
    notAfter: earlier(notAfter, issuer.notAfter),
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([...USAGES[identity.role]], false),
      new x509.SubjectAlternativeNameExtension([
        { type: "url", value: uri },
        ...hosts.map((value) => ({ type: isIP(value) ? "ip" : "dns", value }) as const),
      ]),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey, false, webcrypto),
      await x509.AuthorityKeyIdentifierExtension.create(issuer, false, webcrypto),
    ],
  });
  return toPem(certificate, keys.privateKey);
}

function earlier(a: Date, b: Date): Date {
  return new Date(Math.min(a.getTime(), b.getTime()));
}

async function rootExtensions(
  publicKey: webcrypto.CryptoKey,
  pathLength: number,
): Promise<x509.Extension[]> {
  const usages = x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign;
  return [
    new x509.BasicConstraintsExtension(true, pathLength, true),
    new x509.KeyUsagesExtension(usages, true),
    await x509.SubjectKeyIdentifierExtension.create(publicKey, false, webcrypto),
  ];
}

async function toPem(
  certificate: x509.X509Certificate,
  key: webcrypto.CryptoKey,
): Promise<KeyPair> {
  const pkcs8 = await webcrypto.subtle.exportKey("pkcs8", key);
  return {
    certificate: pemOf(certificate),
    key: `${x509.PemConverter.encode(pkcs8, "PRIVATE KEY")}\n`,
  };
}

function pemOf(certificate: x509.X509Certificate): string {
  return `${certificate.toString("pem")}\n`;
}

function importKey(pem: string): Promise<webcrypto.CryptoKey> {
  const [der] = x509.PemConverter.decode(pem);
  return webcrypto.subtle.importKey("pkcs8", der!, ALGORITHM, false, ["sign"]);
}

/** 127 random bits, positive. */
function newSerial(): string {
  const bytes = randomBytes(16);
  bytes[0] = (bytes[0]! & 0x7f) | 0x40;
  return bytes.toString("hex");
}
