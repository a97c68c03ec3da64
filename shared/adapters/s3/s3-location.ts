/**
 * @file Where an S3 store is and who asks it: a URL, and credentials from the environment.
 *
 *     s3://BUCKET[/PREFIX]?endpoint=https://HOST:PORT&region=us-east-1&style=path&ca=FILE
 *         &public-endpoint=https://HOST:PORT
 */
import { isIPv6 } from "node:net";
import { type FarmError, refusal, refuseViolations, type Violation } from "../../core/errors.js";
import { isBlobKey } from "../../ports/blob-key.js";

/** Where the objects are. */
export interface S3Location {
  readonly bucket: string;
  /** "/"-separated segments that every object's name begins with; never empty, see PREFIX_DEFAULT. */
  readonly prefix: string;
  /** http(s)://HOST[:PORT] of the server. */
  readonly endpoint: string;
  /** http(s)://HOST[:PORT] where links to finished files point; the endpoint unless told. */
  readonly publicEndpoint: string;
  /** The region that requests are signed for; nobody is asked where the bucket is. */
  readonly region: string;
  /** "path": HOST/BUCKET/KEY. "virtual": BUCKET.HOST/KEY. */
  readonly style: "path" | "virtual";
  /** PEM certificates to trust instead of the system's; null: the system's. */
  readonly ca: string | null;
}

/** Who asks: a key pair, or the role that the platform gives to this process. */
export type S3Credentials = S3KeyPair | { readonly kind: "role" };

export interface S3KeyPair {
  readonly kind: "keys";
  readonly accessKey: string;
  readonly secretKey: string;
  /** Comes with a key pair that is temporary; null with one that stays. */
  readonly sessionToken: string | null;
}

/** What the reading of a location takes from the process around it. */
export interface S3Surroundings {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Text of a file; throws when it cannot be read. */
  readonly readFile: (path: string) => string;
  /** Why a file must hold no key, and the way out; null: it may. */
  readonly whyNoSecret: (path: string) => string | null;
}

/**
 * Objects lie under a folder of their own, so that a bucket may hold other things too. It also keeps
 * a "/" in every name: listings hand a name like 1e5 over as the number it looks like.
 */
const PREFIX_DEFAULT = "renderfarm";
const REGION_DEFAULT = "us-east-1";
const BUCKET_PATTERN = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;
const REGION_PATTERN = /^[a-z0-9-]{1,40}$/;
const PARAMETERS = ["endpoint", "region", "style", "ca", "public-endpoint"];
const LOOPBACK = new Set(["127.0.0.1", "localhost", "[::1]"]);
/** Key pairs that servers ship with, and that everybody tries first. */
const KNOWN_DEFAULTS = new Set(["minioadmin", "minio", "minio123", "admin", "password", "any"]);

/**
 * Reads an s3:// URL.
 *
 * @throws FarmError "invalid-argument" with every wrong part at once
 */
export function parseS3Location(text: string, { readFile }: S3Surroundings): S3Location {
  const url = parseUrl(text);
  if (url?.protocol !== "s3:") throw wrongUrl(text);
  const violations: Violation[] = [];
  const check: Check = (field, isLegal, description) => {
    if (!isLegal) violations.push({ field, description });
  };
  const unknown = [...url.searchParams.keys()].filter((name) => !PARAMETERS.includes(name));
  check("--blobs", unknown.length === 0, `has unknown parts: ${unknown.join(", ")}`);
  const hasUser = url.username !== "" || url.password !== "";
  check(
    "--blobs",
    !hasUser,
    "must hold no credentials; set RENDERFARM_S3_ACCESS_KEY and _SECRET_KEY",
  );
  check("--blobs", BUCKET_PATTERN.test(url.hostname), `"${url.hostname}" is no bucket's name`);
  const prefix = url.pathname.replace(/^\/|\/$/g, "") || PREFIX_DEFAULT;
  check("--blobs", isBlobKey(prefix) && prefix.length <= 200, `"${prefix}" is no prefix of keys`);
  const endpoint = readEndpoint("endpoint", url.searchParams.get("endpoint") ?? "", check);
  const told = url.searchParams.get("public-endpoint");
  const publicEndpoint = told === null ? endpoint : readEndpoint("public-endpoint", told, check);
  const region = url.searchParams.get("region") ?? REGION_DEFAULT;
  check("--blobs", REGION_PATTERN.test(region), `region "${region}" is not one like us-east-1`);
  const style = url.searchParams.get("style") ?? "path";
  check(
    "--blobs",
    style === "path" || style === "virtual",
    `style "${style}" is not path or virtual`,
  );
  const ca = readCa(url.searchParams.get("ca"), readFile, violations);
  refuseViolations(violations);
  return {
    ...{ bucket: url.hostname, prefix, region, ca },
    ...{ endpoint: endpoint!.origin, publicEndpoint: publicEndpoint!.origin },
    style: style as S3Location["style"],
  };
}

/**
 * The credentials for a location: RENDERFARM_S3_ACCESS_KEY, RENDERFARM_S3_SECRET_KEY and, where they
 * are temporary, RENDERFARM_S3_SESSION_TOKEN (or the files that ..._FILE name, or AWS's own
 * variables), else the role that the platform gives, if RENDERFARM_S3_ROLE=1 says so.
 *
 * @throws FarmError "invalid-argument" when they are missing, or known defaults beyond loopback
 */
export function readS3Credentials(
  location: Pick<S3Location, "endpoint">,
  around: S3Surroundings,
): S3Credentials {
  const { env } = around;
  const violations: Violation[] = [];
  const own = (name: string): string | null =>
    settingOf(`RENDERFARM_S3_${name}`, around, violations);
  const [ownAccess, ownSecret] = [own("ACCESS_KEY"), own("SECRET_KEY")];
  // A key of ours and a token of AWS's variables would not belong together.
  const isOwn = ownAccess !== null || ownSecret !== null;
  const accessKey = isOwn ? ownAccess : env["AWS_ACCESS_KEY_ID"] || null;
  const secretKey = isOwn ? ownSecret : env["AWS_SECRET_ACCESS_KEY"] || null;
  const sessionToken = isOwn ? own("SESSION_TOKEN") : env["AWS_SESSION_TOKEN"] || null;
  refuseViolations(violations);
  if (accessKey === null && secretKey === null && env["RENDERFARM_S3_ROLE"] === "1") {
    return { kind: "role" };
  }
  if (accessKey === null || secretKey === null) {
    const way =
      "set it, or the file that ..._FILE names, or RENDERFARM_S3_ROLE=1 for the platform's role";
    const field = `RENDERFARM_S3_${accessKey === null ? "ACCESS" : "SECRET"}_KEY`;
    throw refusal([{ field, description: `is missing; ${way}` }]);
  }
  refuseKnownDefaults("RENDERFARM_S3_ACCESS_KEY", location.endpoint, [accessKey, secretKey]);
  return { kind: "keys", accessKey, secretKey, sessionToken };
}

/**
 * Who signs links to finished files: RENDERFARM_S3_SIGNER_ACCESS_KEY, _SECRET_KEY and, where they are
 * temporary, _SESSION_TOKEN, or the files that ..._FILE name; null where no key is set.
 * Never the farm's own key pair in its place: a link is worth what its signer may do.
 *
 * @throws FarmError "invalid-argument" when one is missing, or a known default beyond loopback
 */
export function readS3Signer(
  location: Pick<S3Location, "publicEndpoint">,
  around: S3Surroundings,
): S3Credentials | null {
  const violations: Violation[] = [];
  const own = (name: string): string | null =>
    settingOf(`RENDERFARM_S3_SIGNER_${name}`, around, violations);
  const [accessKey, secretKey] = [own("ACCESS_KEY"), own("SECRET_KEY")];
  const sessionToken = own("SESSION_TOKEN");
  refuseViolations(violations);
  if (accessKey === null && secretKey === null) return null;
  if (accessKey === null || secretKey === null) {
    const field = `RENDERFARM_S3_SIGNER_${accessKey === null ? "ACCESS" : "SECRET"}_KEY`;
    throw refusal([{ field, description: "is missing beside the other one; set both or neither" }]);
  }
  const field = "RENDERFARM_S3_SIGNER_ACCESS_KEY";
  refuseKnownDefaults(field, location.publicEndpoint, [accessKey, secretKey]);
  return { kind: "keys", accessKey, secretKey, sessionToken };
}

function refuseKnownDefaults(field: string, endpoint: string, keys: readonly string[]): void {
  const isDefault = keys.some((key) => KNOWN_DEFAULTS.has(key));
  if (!isDefault || LOOPBACK.has(new URL(endpoint).hostname)) return;
  const description = "is one that everybody knows; make a key pair of your own";
  throw refusal([{ field, description }]);
}

/** Of a variable, else of the file that its ..._FILE names; null when there is neither. */
function settingOf(
  variable: string,
  { env, readFile, whyNoSecret }: S3Surroundings,
  violations: Violation[],
): string | null {
  const direct = env[variable] || null;
  const field = `${variable}_FILE`;
  const path = env[field];
  if (direct !== null || !path) return direct;
  const text = textOf(field, path, readFile, violations);
  const description = text === null ? null : whyNoSecret(path);
  if (description !== null) violations.push({ field, description });
  return text || null;
}

/** The host as the client wants it: without the brackets of an IPv6 address. */
export function hostOf(endpoint: URL): string {
  const bare = endpoint.hostname.replace(/^\[|\]$/g, "");
  return isIPv6(bare) ? bare : endpoint.hostname;
}

type Check = (field: string, isLegal: boolean, description: string) => void;

/** Null, and a violation, for what is no http(s)://HOST[:PORT]. */
function readEndpoint(name: string, text: string, check: Check): URL | null {
  const url = parseUrl(text);
  const isEndpoint = url !== null && /^https?:$/.test(url.protocol) && url.pathname === "/";
  check("--blobs", isEndpoint, `needs ${name}=https://HOST[:PORT]`);
  if (!isEndpoint) return null;
  const isSafe = url.protocol === "https:" || LOOPBACK.has(url.hostname);
  check("--blobs", isSafe, `${name} ${url.host}: beyond this machine it must be https://`);
  return url;
}

function readCa(
  path: string | null,
  readFile: S3Surroundings["readFile"],
  violations: Violation[],
): string | null {
  if (path === null) return null;
  const text = textOf("--blobs ca=", path, readFile, violations);
  if (text !== null && !text.includes("-----BEGIN CERTIFICATE-----")) {
    violations.push({ field: "--blobs", description: `ca=${path} holds no PEM certificate` });
  }
  return text;
}

function textOf(
  field: string,
  path: string,
  readFile: S3Surroundings["readFile"],
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

function parseUrl(text: string): URL | null {
  return URL.canParse(text) ? new URL(text) : null;
}

function wrongUrl(text: string): FarmError {
  const form =
    "s3://BUCKET[/PREFIX]?endpoint=https://HOST[:PORT]&region=R&style=path|virtual&ca=FILE&public-endpoint=URL";
  return refusal([{ field: "--blobs", description: `"${text.slice(0, 80)}" is not ${form}` }]);
}
