/** @file An OpenID provider on loopback: enough for a server that takes whoever it vouches for. */
import { generateKeyPairSync, type KeyObject, randomUUID, sign } from "node:crypto";
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";

/** Whom its tokens are for. */
export const CLIENT_ID = "farm";
const KEY_ID = "only";
/** Longer than any test. */
export const TOKEN_S = 12 * 3_600;

/** Answers the two questions that a relying party asks, and signs tokens (RS256) of its own accord. */
export class OpenIdProvider {
  readonly #server: Server;
  readonly #privateKey: KeyObject;

  private constructor(server: Server, privateKey: KeyObject) {
    this.#server = server;
    this.#privateKey = privateKey;
  }

  static async start(): Promise<OpenIdProvider> {
    const keys = generateKeyPairSync("rsa", { modulusLength: 2_048 });
    const jwk = {
      ...keys.publicKey.export({ format: "jwk" }),
      kid: KEY_ID,
      alg: "RS256",
      use: "sig",
    };
    const answers: Record<string, () => object> = {
      "/.well-known/openid-configuration": () => discovery(provider.issuer),
      "/keys": () => ({ keys: [jwk] }),
    };
    const server = createServer((request, response) => {
      const answer = answers[request.url ?? ""];
      response.writeHead(answer ? 200 : 404, { "content-type": "application/json" });
      response.end(JSON.stringify(answer?.() ?? {}));
    }).listen(0, "127.0.0.1");
    const provider = new OpenIdProvider(server, keys.privateKey);
    await once(server, "listening");
    return provider;
  }

  get issuer(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  get configUrl(): string {
    return `${this.issuer}/.well-known/openid-configuration`;
  }

  /** A token for a subject, with claims beside those that every token has. */
  token(subject: string, claims: Readonly<Record<string, string>>): string {
    const now = Math.floor(Date.now() / 1_000);
    const times = { iat: now, exp: now + TOKEN_S };
    const body = { iss: this.issuer, aud: CLIENT_ID, sub: subject, jti: randomUUID(), ...times };
    const parts = [
      { alg: "RS256", typ: "JWT", kid: KEY_ID },
      { ...body, ...claims },
    ];
    const signed = parts.map((p) => Buffer.from(JSON.stringify(p)).toString("base64url")).join(".");
    const signature = sign("sha256", Buffer.from(signed), this.#privateKey);
    return `${signed}.${signature.toString("base64url")}`;
  }

  async stop(): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }
}

function discovery(issuer: string): object {
  return {
    ...{ issuer, jwks_uri: `${issuer}/keys`, response_types_supported: ["id_token"] },
    ...{ authorization_endpoint: `${issuer}/authorize`, token_endpoint: `${issuer}/token` },
    ...{ subject_types_supported: ["public"], id_token_signing_alg_values_supported: ["RS256"] },
  };
}
