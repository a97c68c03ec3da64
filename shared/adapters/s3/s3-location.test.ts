import { describe, expect, test } from "vitest";
import type { FarmError } from "../../core/errors.js";
import { parseS3Location, readS3Credentials, readS3Signer } from "./s3-location.js";

const PEM = "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----";
const FILES: Record<string, string> = {
  "/ca.pem": PEM,
  "/no-ca": "hello",
  "/run/access": "from-file\n",
  "/run/secret": "secret-from-file\n",
  "/open/secret": "known to everyone\n",
};
const around = (env: Record<string, string> = {}) => ({
  env,
  readFile: (path: string) => {
    const text = FILES[path];
    if (text === undefined) throw new Error("no such file");
    return text;
  },
  whyNoSecret: (path: string) => (path.startsWith("/open/") ? "everyone may read it" : null),
});
const parse = (url: string) => parseS3Location(url, around());

describe("a location", () => {
  test("has defaults for all but bucket and endpoint", () => {
    expect(parse("s3://films?endpoint=https://s3.example")).toEqual({
      ...{ bucket: "films", prefix: "renderfarm", endpoint: "https://s3.example" },
      publicEndpoint: "https://s3.example",
      ...{ region: "us-east-1", style: "path", ca: null },
    });
  });

  test("says everything", () => {
    const where = "public-endpoint=https://films.example";
    const more = `region=eu-west-3&style=virtual&ca=/ca.pem&${where}`;
    expect(parse(`s3://films/a/b/?endpoint=https://s3.example:9000&${more}`)).toEqual({
      ...{ bucket: "films", prefix: "a/b", endpoint: "https://s3.example:9000" },
      publicEndpoint: "https://films.example",
      ...{ region: "eu-west-3", style: "virtual", ca: PEM },
    });
  });

  test.each(["http://127.0.0.1:9000", "http://localhost:9000", "http://[::1]:9000"])(
    "%s may do without TLS",
    (endpoint) => expect(parse(`s3://films?endpoint=${endpoint}`).endpoint).toBe(endpoint),
  );

  test.each([
    ["films", /is not s3:/],
    ["s3://films", /needs endpoint=/],
    ["s3://films?endpoint=ftp://x", /needs endpoint=/],
    ["s3://films?endpoint=https://x/path", /needs endpoint=/],
    ["s3://films?endpoint=http://10.0.0.1:9000", /must be https/],
    ["s3://films?endpoint=https://x&public-endpoint=x", /needs public-endpoint=/],
    ["s3://films?endpoint=https://x&public-endpoint=http://y", /public-endpoint y: .*https/],
    ["s3://user:pass@films?endpoint=https://x", /no credentials/],
    ["s3://Films_?endpoint=https://x", /no bucket's name/],
    ["s3://films/../x%2e?endpoint=https://x", /no prefix/],
    ["s3://films/.a?endpoint=https://x", /no prefix/],
    ["s3://films?endpoint=https://x&style=odd", /style "odd"/],
    ["s3://films?endpoint=https://x&region=EU!", /region "EU!"/],
    ["s3://films?endpoint=https://x&profile=a", /unknown parts: profile/],
    ["s3://films?endpoint=https://x&ca=/none", /cannot be read: no such file/],
    ["s3://films?endpoint=https://x&ca=/no-ca", /no PEM certificate/],
  ])("%s is refused", (url, text) => {
    expect(() => parse(url)).toThrow(text);
  });

  test("tells all that is wrong at once", () => {
    try {
      parse("s3://Films_?style=odd&ca=/none");
      expect.unreachable();
    } catch (error) {
      expect((error as FarmError).violations).toHaveLength(4);
    }
  });
});

describe("credentials", () => {
  const far = { endpoint: "https://s3.example" };
  const near = { endpoint: "http://127.0.0.1:9000" };
  const keys = (accessKey: string, secretKey: string, sessionToken: string | null = null) => ({
    ...{ kind: "keys", accessKey, secretKey, sessionToken },
  });
  const own = { RENDERFARM_S3_ACCESS_KEY: "a1", RENDERFARM_S3_SECRET_KEY: "s1" };
  const files = {
    RENDERFARM_S3_ACCESS_KEY_FILE: "/run/access",
    RENDERFARM_S3_SECRET_KEY_FILE: "/run/secret",
  };
  const aws = {
    ...{ AWS_ACCESS_KEY_ID: "a2", AWS_SECRET_ACCESS_KEY: "s2", AWS_SESSION_TOKEN: "t2" },
  };

  const token = { RENDERFARM_S3_SESSION_TOKEN: "t1" };
  const tokenFile = { RENDERFARM_S3_SESSION_TOKEN_FILE: "/run/access" };
  test.each([
    ["our own variables, before all", { ...aws, ...files, ...own }, keys("a1", "s1")],
    ["our own, temporary", { ...aws, ...own, ...token }, keys("a1", "s1", "t1")],
    ["files, before AWS's variables", { ...aws, ...files }, keys("from-file", "secret-from-file")],
    ["a token's file", { ...own, ...tokenFile }, keys("a1", "s1", "from-file")],
    ["AWS's, without a token of ours", { ...aws, ...token }, keys("a2", "s2", "t2")],
    ["AWS's variables", aws, keys("a2", "s2", "t2")],
    ["the platform's role, where it is asked for", { RENDERFARM_S3_ROLE: "1" }, { kind: "role" }],
  ])("come from %s", (_name, env: Record<string, string>, expected) => {
    expect(readS3Credentials(far, around(env))).toEqual(expected);
  });

  test.each([
    [{}, /RENDERFARM_S3_ACCESS_KEY: is missing/],
    [
      { RENDERFARM_S3_ACCESS_KEY: "a", AWS_SECRET_ACCESS_KEY: "s" },
      /RENDERFARM_S3_SECRET_KEY: is missing/,
    ],
    [{ RENDERFARM_S3_ACCESS_KEY_FILE: "/none" }, /"\/none" cannot be read/],
    [
      { RENDERFARM_S3_ACCESS_KEY: "a", RENDERFARM_S3_SECRET_KEY_FILE: "/open/secret" },
      /RENDERFARM_S3_SECRET_KEY_FILE: everyone may read it/,
    ],
    [{ AWS_ACCESS_KEY_ID: "minioadmin", AWS_SECRET_ACCESS_KEY: "x" }, /everybody knows/],
    [{ AWS_ACCESS_KEY_ID: "x", AWS_SECRET_ACCESS_KEY: "minioadmin" }, /everybody knows/],
  ])("%j are refused", (env: Record<string, string>, text) => {
    expect(() => readS3Credentials(far, around(env))).toThrow(text);
  });

  test("that everybody knows will do on this machine", () => {
    const env = { AWS_ACCESS_KEY_ID: "minioadmin", AWS_SECRET_ACCESS_KEY: "minioadmin" };
    expect(readS3Credentials(near, around(env))).toEqual(keys("minioadmin", "minioadmin"));
  });
});

describe("who signs links", () => {
  const far = { publicEndpoint: "https://films.example" };
  const own = { RENDERFARM_S3_ACCESS_KEY: "a1", RENDERFARM_S3_SECRET_KEY: "s1" };
  const signer = (accessKey: string, secretKey: string) => ({
    ...{ RENDERFARM_S3_SIGNER_ACCESS_KEY: accessKey, RENDERFARM_S3_SIGNER_SECRET_KEY: secretKey },
  });
  const files = {
    RENDERFARM_S3_SIGNER_ACCESS_KEY_FILE: "/run/access",
    RENDERFARM_S3_SIGNER_SECRET_KEY_FILE: "/run/secret",
  };
  const keys = (accessKey: string, secretKey: string, sessionToken: string | null = null) => ({
    ...{ kind: "keys", accessKey, secretKey, sessionToken },
  });
  const token = { RENDERFARM_S3_SIGNER_SESSION_TOKEN: "t2" };
  const tokenFile = { RENDERFARM_S3_SIGNER_SESSION_TOKEN_FILE: "/run/access" };

  test.each([
    ["nobody, unless told: never the farm's own key pair", own, null],
    ["our variables, before files", { ...files, ...signer("a2", "s2") }, keys("a2", "s2")],
    ["files", files, keys("from-file", "secret-from-file")],
    ["temporary keys", { ...signer("a2", "s2"), ...token }, keys("a2", "s2", "t2")],
    ["their token's file", { ...signer("a2", "s2"), ...tokenFile }, keys("a2", "s2", "from-file")],
  ])("%s", (_name, env: Record<string, string>, expected) => {
    expect(readS3Signer(far, around(env))).toEqual(expected);
  });

  test.each([
    [{ RENDERFARM_S3_SIGNER_ACCESS_KEY: "a" }, /SIGNER_SECRET_KEY: is missing beside/],
    [{ RENDERFARM_S3_SIGNER_SECRET_KEY: "s" }, /SIGNER_ACCESS_KEY: is missing beside/],
    [{ RENDERFARM_S3_SIGNER_ACCESS_KEY_FILE: "/none" }, /"\/none" cannot be read/],
    [
      {
        RENDERFARM_S3_SIGNER_ACCESS_KEY: "a",
        RENDERFARM_S3_SIGNER_SECRET_KEY_FILE: "/open/secret",
      },
      /RENDERFARM_S3_SIGNER_SECRET_KEY_FILE: everyone may read it/,
    ],
    [signer("minioadmin", "x"), /SIGNER_ACCESS_KEY: is one that everybody knows/],
  ])("%j are refused", (env: Record<string, string>, text) => {
    expect(() => readS3Signer(far, around(env))).toThrow(text);
  });
});
