/** @file The tensor bus that a setting names: sockets from node to node, or a NATS server. */
import { randomBytes } from "node:crypto";
import { isNatsUrl } from "../../shared/adapters/nats/nats-location.js";
import { SocketTensorBus } from "../../shared/adapters/socket/socket-tensor-bus.js";
import { BusTls } from "../../shared/adapters/tls/bus-tls.js";
import type { TlsFiles } from "../../shared/adapters/tls/tls-files.js";
import type { FollowOptions } from "../../shared/adapters/tls/used-certificate.js";
import { endpointOf } from "../../shared/core/endpoint.js";
import type { TensorBus } from "../../shared/ports/tensor-bus.js";
import type { Environment } from "../../shared/settings/setting-reader.js";

/** What `--bus` takes. */
export const BUS_FORM = "tcp or nats://HOST:PORT[,HOST:PORT]?ca=FILE";

/** A bus that partners can be told of. */
export interface OpenedBus extends TensorBus {
  /** Where partners reach it. */
  readonly address: string;
  /** What they must show. */
  readonly token: string;
  close(): Promise<void>;
}

/** What of a node's settings concerns its bus. */
interface BusSettings {
  /** As BUS_FORM says. */
  readonly bus: string;
  /** Where sockets listen. */
  readonly busListen: string;
  readonly nodeId: string;
}

interface BusParts extends FollowOptions {
  readonly env: Environment;
  /** Null: sockets on this machine only. */
  readonly tls: TlsFiles | null;
  /** Hears of every connection, message and frame that came and was not taken. */
  readonly onRefused: (what: string) => void;
}

/** Whether a value of `--bus` has one of the forms at all; the rest shows when it is opened. */
export function isBusUrl(bus: string): boolean {
  return bus === "tcp" || isNatsUrl(bus);
}

/**
 * @throws FarmError "invalid-argument" when the setting cannot work, "unreachable" when the address
 *   cannot be listened on or no server answers
 */
export async function openBus(settings: BusSettings, parts: BusParts): Promise<OpenedBus> {
  const token = randomBytes(32).toString("hex");
  const { bus, busListen, nodeId } = settings;
  if (!isNatsUrl(bus)) {
    const tls = parts.tls && new BusTls(parts.tls);
    return SocketTensorBus.listen({ ...endpointOf(busListen), ...parts, tls, token });
  }
  // Only who uses NATS loads its client.
  const { openNats } = await import("../../shared/adapters/nats/open-nats.js");
  const { NatsTensorBus } = await import("../../shared/adapters/nats/nats-tensor-bus.js");
  const who = { role: "node", name: nodeId } as const;
  const { client, location } = await openNats(bus, who, { ...parts, flag: "--bus" });
  const { prefix } = location.names;
  try {
    return await NatsTensorBus.open({ ...parts, client, prefix, nodeId, token });
  } catch (error) {
    await client.close();
    throw error;
  }
}
