/** @file The setting --metrics of every process: where /metrics, /healthz and /readyz are. */
import { isLoopback } from "../core/endpoint.js";
import type { SettingReader } from "./setting-reader.js";

const ADDRESS_PATTERN = /^(?:[a-z0-9.-]+|\[[0-9a-f:.]+\]):(\d{1,5})$/i;

/**
 * Beyond loopback metrics are given over TLS only, to who shows a certificate of the farm.
 *
 * @param reader of a program that knows TLS_FLAGS, too
 * @returns null when no such port is wanted
 */
export function readMetricsAddress(reader: SettingReader): string | null {
  const address = reader.optional("metrics");
  if (address === null) return null;
  const hasTls = reader.optional("tls-cert") !== null;
  const port = ADDRESS_PATTERN.exec(address)?.[1];
  if (port === undefined || Number(port) > 65_535) {
    reader.refuse("--metrics", `"${address}" is not HOST:PORT, as in 127.0.0.1:9464`);
  } else if (!hasTls && !isLoopback(address)) {
    reader.refuse("--metrics", `"${address}": without a certificate only loopback is allowed`);
  }
  return address;
}
