/** @file How a client gets into a farm that asks who it is. */
import { credentials, Metadata } from "@grpc/grpc-js";
import {
  type Channel,
  type ClientTls,
  secureChannel,
} from "../shared/adapters/tls/grpc-credentials.js";

/** How a client gets in where the farm is not this machine's alone. */
export interface Entry {
  readonly tls: ClientTls;
  /** A user's key; null: none. */
  readonly token: string | null;
}

/** The key goes with every call, and over TLS alone. */
export function channelFor(address: string, { tls, token }: Entry): Channel {
  const channel = secureChannel(address, tls);
  if (token === null) return channel;
  const withToken = credentials.createFromMetadataGenerator((_call, done) => {
    const metadata = new Metadata();
    metadata.set("authorization", `Bearer ${token}`);
    done(null, metadata);
  });
  return { ...channel, credentials: channel.credentials.compose(withToken) };
}
