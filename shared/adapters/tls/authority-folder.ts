/**
 * @file The folder of a farm's certificate authority, as `renderfarm certs` keeps it:
 *
 *     ca.pem                 roots to trust: the present one, and the one before while it ends
 *     ca/root.{pem,key}      the present root; its key stays on this machine
 *     ca/before.pem          the root before, and ca/cross.pem, its word for the present one
 *     coordinator/cert.pem, key.pem
 *     node/ID/cert.pem, key.pem
 *     user/NAME/cert.pem, key.pem
 *
 * Every file is replaced at once, keys have mode 0600.
 */
import { X509Certificate } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { FarmError } from "../../core/errors.js";
import { readSecretFile, writeFileWhole } from "../files/secret-file.js";
import { createAuthority, crossSign, issueLeaf, type KeyPair, type Validity } from "./authority.js";
import { type Identity, readIdentity } from "./identity.js";
import type { TlsPaths } from "./tls-files.js";

/** Clocks of machines differ: a certificate is good from a little before it was made. */
const CLOCKS_DIFFER_MS = 5 * 60_000;
const PUBLIC = 0o644;
const SECRET = 0o600;

/** A certificate that was issued. */
export interface Issued {
  readonly identity: Identity;
  readonly hosts: readonly string[];
  readonly paths: TlsPaths;
  /** Milliseconds since 1970. */
  readonly startsAtMs: number;
  readonly endsAtMs: number;
}

export class AuthorityFolder {
  readonly #folder: string;
  readonly #nowMs: () => number;

  private constructor(folder: string, nowMs: () => number) {
    this.#folder = folder;
    this.#nowMs = nowMs;
  }

  /**
   * Makes the folder and its root.
   *
   * @param lifeMs of the root
   * @throws FarmError "wrong-state" when there is one already
   */
  static async create(
    folder: string,
    { farm, lifeMs, nowMs }: { farm: string; lifeMs: number; nowMs: () => number },
  ): Promise<AuthorityFolder> {
    const made = new AuthorityFolder(folder, nowMs);
    if (existsSync(made.#root.certificate)) {
      throw new FarmError("wrong-state", `${folder} has a root already; rotate it, or use another`);
    }
    mkdirSync(join(folder, "ca"), { recursive: true, mode: 0o700 });
    made.#writeRoot(await createAuthority(farm, validFor(lifeMs, nowMs())));
    writeFileWhole(made.caPath, readFileSync(made.#root.certificate, "utf8"), PUBLIC);
    return made;
  }

  /** @throws FarmError "not-found" when there is no root */
  static open(folder: string, nowMs: () => number): AuthorityFolder {
    const found = new AuthorityFolder(folder, nowMs);
    if (existsSync(found.#root.certificate)) return found;
    const detail = `${folder} has no root; make one: renderfarm certs init --dir ${folder}`;
    throw new FarmError("not-found", detail);
  }

  /** Roots to trust. */
  get caPath(): string {
    return join(this.#folder, "ca.pem");
  }

  /** Name of the farm. */
  get farm(): string {
    const subject = new X509Certificate(readFileSync(this.#root.certificate)).subject;
    return /^O=(.+)$/m.exec(subject)?.[1] ?? "";
  }

  /** Issues a certificate, or a new one in the place of one before. */
  async issue(
    { role, name }: Pick<Identity, "role" | "name">,
    { hosts = [], ...life }: LeafLife & { readonly hosts?: readonly string[] },
  ): Promise<Issued> {
    const folder = join(this.#folder, role, name);
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const validity = "lifeMs" in life ? validFor(life.lifeMs, this.#nowMs()) : life;
    const leaf = await issueLeaf(this.#readRoot(), {
      identity: { farm: this.farm, role, name },
      hosts,
      ...validity,
    });
    const cross = existsSync(this.#crossPath) ? readFileSync(this.#crossPath, "utf8") : "";
    // Whoever reads between the two finds a key of another certificate, and looks again.
    writeFileWhole(join(folder, "key.pem"), leaf.key, SECRET);
    writeFileWhole(join(folder, "cert.pem"), leaf.certificate + cross, PUBLIC);
    return this.#read(folder);
  }

  /** Every certificate that was issued here. */
  issued(): Issued[] {
    const folders = ["coordinator", ...this.#below("node"), ...this.#below("user")];
    return folders
      .map((name) => join(this.#folder, name))
      .filter((folder) => existsSync(join(folder, "cert.pem")))
      .map((folder) => this.#read(folder));
  }

  /** Issues every certificate anew. */
  async renewAll(life: LeafLife): Promise<Issued[]> {
    const renewed: Issued[] = [];
    for (const { identity, hosts } of this.issued()) {
      renewed.push(await this.issue(identity, { ...life, hosts }));
    }
    return renewed;
  }

  /**
   * A new root. The one before stays trusted, and vouches for the new one, until `dropOldRoot`.
   * Certificates have to be issued anew.
   *
   * @throws FarmError "wrong-state" while the root before this one is still trusted
   */
  async replaceRoot(lifeMs: number): Promise<void> {
    if (existsSync(this.#beforePath)) {
      const detail = "a change of roots is under way; end it with --drop-old-root first";
      throw new FarmError("wrong-state", detail);
    }
    const older = this.#readRoot();
    const newer = await createAuthority(this.farm, validFor(lifeMs, this.#nowMs()));
    const cross = await crossSign(newer, older);
    writeFileWhole(this.#beforePath, older.certificate, PUBLIC);
    writeFileWhole(this.#crossPath, cross, PUBLIC);
    writeFileWhole(this.caPath, newer.certificate + older.certificate, PUBLIC);
    this.#writeRoot(newer);
  }

  /** Trusts the present root alone; certificates of the one before are refused from here on. */
  dropOldRoot(): void {
    writeFileWhole(this.caPath, readFileSync(this.#root.certificate, "utf8"), PUBLIC);
    for (const path of [this.#beforePath, this.#crossPath]) rmSync(path, { force: true });
  }

  get #root(): { readonly certificate: string; readonly key: string } {
    const folder = join(this.#folder, "ca");
    return { certificate: join(folder, "root.pem"), key: join(folder, "root.key") };
  }

  get #beforePath(): string {
    return join(this.#folder, "ca/before.pem");
  }

  get #crossPath(): string {
    return join(this.#folder, "ca/cross.pem");
  }

  #readRoot(): KeyPair {
    const { certificate, key } = this.#root;
    return { certificate: readFileSync(certificate, "utf8"), key: readSecretFile(key, "the root") };
  }

  #writeRoot(root: KeyPair): void {
    writeFileWhole(this.#root.key, root.key, SECRET);
    writeFileWhole(this.#root.certificate, root.certificate, PUBLIC);
  }

  #below(role: string): string[] {
    const folder = join(this.#folder, role);
    return existsSync(folder)
      ? readdirSync(folder)
          .sort()
          .map((name) => join(role, name))
      : [];
  }

  #read(folder: string): Issued {
    const cert = join(folder, "cert.pem");
    const certificate = new X509Certificate(readFileSync(cert));
    const identity = readIdentity(certificate.subjectAltName);
    if (!identity) throw new FarmError("wrong-state", `${cert} is none of this farm's`);
    return {
      identity,
      hosts: hostsOf(certificate.subjectAltName ?? ""),
      paths: { ca: this.caPath, cert, key: join(folder, "key.pem") },
      startsAtMs: Date.parse(certificate.validFrom),
      endsAtMs: Date.parse(certificate.validTo),
    };
  }
}

/** How long from now, or from when to when. */
export type LeafLife = { readonly lifeMs: number } | Validity;

function validFor(lifeMs: number, nowMs: number): Validity {
  return {
    notBefore: new Date(nowMs - CLOCKS_DIFFER_MS),
    notAfter: new Date(nowMs + lifeMs),
  };
}

/** "DNS:localhost, IP Address:127.0.0.1, URI:..." */
function hostsOf(subjectAltName: string): string[] {
  return [...subjectAltName.matchAll(/(?:DNS|IP Address):([^,]+)/g)].map(([, host]) => host!);
}
