/**
 * @file Users of a MinIO, each with a policy of its own.
 *
 * Its administration takes a program of its own. Whoever an OpenID provider vouches for has temporary
 * keys without it (AssumeRoleWithWebIdentity), and a policy of ours may narrow what they may do: they
 * are the kind of keys that platforms give to processes.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { S3KeyPair } from "../../shared/adapters/s3/s3-location.js";
import { CLIENT_ID, OpenIdProvider, TOKEN_S } from "./openid-provider.js";

const READY_MS_MAX = 30_000;
const READY_PAUSE_MS = 100;
/** A policy of MinIO's own that allows every object; what is left of it is in the user's policy. */
const ALL_OBJECTS = { policy: "readwrite" };

export class MinioUsers {
  readonly #provider: OpenIdProvider;

  private constructor(provider: OpenIdProvider) {
    this.#provider = provider;
  }

  /** Has to be there before the server, and for as long as it. */
  static async start(): Promise<MinioUsers> {
    return new MinioUsers(await OpenIdProvider.start());
  }

  /** What a server is started with so that it knows them. */
  get env(): Record<string, string> {
    return {
      MINIO_IDENTITY_OPENID_CONFIG_URL: this.#provider.configUrl,
      MINIO_IDENTITY_OPENID_CLIENT_ID: CLIENT_ID,
    };
  }

  /**
   * Keys of a user.
   *
   * @param endpoint where the server is: http://HOST:PORT
   * @param policy of S3: what the user may do and no more
   */
  async keysOf(name: string, endpoint: string, policy: object): Promise<S3KeyPair> {
    const form = new URLSearchParams({
      ...{ Action: "AssumeRoleWithWebIdentity", Version: "2011-06-15" },
      WebIdentityToken: this.#provider.token(name, ALL_OBJECTS),
      ...{ Policy: JSON.stringify(policy), DurationSeconds: String(TOKEN_S) },
    });
    const text = await answerTo(endpoint, form);
    const part = (tag: string) => new RegExp(`<${tag}>([^<]+)</${tag}>`).exec(text)![1]!;
    return {
      ...{ kind: "keys", accessKey: part("AccessKeyId"), secretKey: part("SecretAccessKey") },
      sessionToken: part("SessionToken"),
    };
  }

  stop(): Promise<void> {
    return this.#provider.stop();
  }
}

/** A server knows its root a little before its other users, and says 503 to them until then. */
async function answerTo(endpoint: string, body: URLSearchParams): Promise<string> {
  const deadlineMs = Date.now() + READY_MS_MAX;
  for (;;) {
    const answer = await fetch(endpoint, { method: "POST", body });
    const text = await answer.text();
    if (answer.ok) return text;
    if (answer.status !== 503 || Date.now() > deadlineMs) {
      throw new Error(`no keys: ${answer.status} ${text}`);
    }
    await sleep(READY_PAUSE_MS);
  }
}
