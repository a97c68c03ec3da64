/**
 * @file gRPC over TLS 1.3 with the farm's own certificates.
 *
 * One port serves users, who show a key, and nodes, who show a certificate. So a client certificate
 * is asked for and not demanded here; whoever serves a call looks at what was shown.
 */
import { constants } from "node:crypto";
import { isIP } from "node:net";
import { checkServerIdentity, createSecureContext, type SecureContextOptions } from "node:tls";
import {
  type ChannelCredentials,
  type ChannelOptions,
  credentials,
  ServerCredentials,
} from "@grpc/grpc-js";
import { endpointOf } from "../../core/endpoint.js";
import { readIdentity } from "./identity.js";
import type { TlsFiles, TlsMaterial } from "./tls-files.js";

/** @source RFC 8446; Node's tls.createSecureContext */
export function contextOptions({ ca, cert, key }: Pick<TlsMaterial, "ca" | "cert" | "key">) {
  return {
    ...{ ca, cert, key, minVersion: "TLSv1.3" },
    // A resumed session would skip the check of the certificate, and so outlive its end.
    secureOptions: constants.SSL_OP_NO_TICKET,
  } satisfies SecureContextOptions;
}

/** The server's side; new files are taken for every connection that comes after them. */
export class FarmServerCredentials extends ServerCredentials {
  constructor(files: TlsFiles) {
    super({ requestCert: true, rejectUnauthorized: false }, contextOptions(files.current));
    files.onChange((material) => this.updateSecureContextOptions(contextOptions(material)));
  }

  override _equals(other: ServerCredentials): boolean {
    return this === other;
  }
}

/** What a client needs to know the coordinator, and to be known where it has a certificate. */
export interface ClientTls {
  /** PEM of one or more roots. */
  readonly ca: string;
  readonly pair: { readonly cert: string; readonly key: string } | null;
}

export function pairOf({ ca, cert, key }: TlsMaterial): ClientTls {
  return { ca, pair: { cert, key } };
}

/** How a client of gRPC reaches its server. */
export interface Channel {
  readonly credentials: ChannelCredentials;
  readonly options: ChannelOptions;
}

/** Without TLS: on this machine only. */
export function insecureChannel(): Channel {
  return { credentials: credentials.createInsecure(), options: {} };
}

/**
 * The client's side: whoever answers has to be the coordinator of the root's farm, under the name
 * or address that was dialled.
 *
 * @param address host:port that is dialled; of each of several, with commas between
 */
export function secureChannel(address: string, { ca, pair }: ClientTls): Channel {
  const hosts = address.split(",").map((each) => endpointOf(each).host);
  const context = createSecureContext({ ca, ...pair, minVersion: "TLSv1.3" });
  return {
    credentials: credentials.createFromSecureContext(context, {
      checkServerIdentity: (_name, certificate) => {
        const role = readIdentity(certificate.subjectaltname)?.role;
        if (role === "coordinator") {
          const refusals = hosts.map((host) => checkServerIdentity(host, certificate));
          return refusals.every((refusal) => refusal) ? refusals[0] : undefined;
        }
        return new Error(`${address} shows a certificate that is no coordinator's`);
      },
    }),
    // TLS has no place for an address in its hello (RFC 6066); the check above knows the host.
    options: isIP(hosts[0] ?? "")
      ? { "grpc.ssl_target_name_override": "coordinator.renderfarm" }
      : {},
  };
}
