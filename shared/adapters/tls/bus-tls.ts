/** @file The tensor bus over TLS 1.3: both sides show a node's certificate of the farm. */
import type { OnReadOpts, Socket } from "node:net";
import { connect, createServer, type PeerCertificate, type Server, type TLSSocket } from "node:tls";
import { endpointOf } from "../../core/endpoint.js";
import type { Partner } from "../../farm/work.js";
import { contextOptions } from "./grpc-credentials.js";
import { readIdentity } from "./identity.js";
import type { TlsFiles } from "./tls-files.js";

export class BusTls {
  readonly #files: TlsFiles;

  constructor(files: TlsFiles) {
    this.#files = files;
  }

  /** Hears of connections of nodes of this farm only; new files are taken for those that follow. */
  createServer(accept: (socket: Socket) => void): Server {
    const options = {
      ...contextOptions(this.#files.current),
      requestCert: true,
      rejectUnauthorized: true,
    };
    const server = createServer(options, (socket) => {
      if (this.nodeIdOf(socket) === null) socket.destroy();
      else accept(socket);
    });
    const forget = this.#files.onChange((m) => server.setSecureContext(contextOptions(m)));
    server.on("close", forget);
    return server;
  }

  /** Dials; whoever answers has to be that very node. What comes goes to `onread`. */
  connect({ busAddress, nodeId }: Partner, onread: OnReadOpts): TLSSocket {
    return connect({
      ...endpointOf(busAddress),
      // Spread, since Node's types do not know it here.
      ...{ onread },
      ...contextOptions(this.#files.current),
      // Nodes have no names of hosts: who they are is in the certificate.
      servername: "",
      checkServerIdentity: (_name, certificate) =>
        this.#nodeOf(certificate) === nodeId
          ? undefined
          : new Error(`its certificate is not that of node ${nodeId}`),
    });
  }

  /** Null for whoever is no node of this farm. */
  nodeIdOf(socket: TLSSocket): string | null {
    return this.#nodeOf(socket.getPeerCertificate());
  }

  #nodeOf(certificate: PeerCertificate): string | null {
    const identity = readIdentity(certificate.subjectaltname);
    const isNode = identity?.role === "node" && identity.farm === this.#files.current.identity.farm;
    return isNode ? identity.name : null;
  }
}
