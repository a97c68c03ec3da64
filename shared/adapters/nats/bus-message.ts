/**
 * @file Messages between the two ends of a channel, in the headers that a NATS message has.
 *
 * ```
 * Rf-Bus       <kind> <sent> <got> <part>/<parts>
 * Rf-Frame     header of a frame, JSON; in its first part
 * traceparent  that of the header, where it has one; as W3C Trace Context has it
 * Rf-Mac       begins the HMAC-SHA256 of channel and all lines, under the receiver's token
 * ```
 *
 * The payload goes as it is, without a copy; the frame's header names its sha256. The token itself
 * never leaves the farm's control plane.
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import type { FrameHeader } from "../../ports/tensor-bus.js";
import { decodeFrameHeader } from "../socket/frame-codec.js";
import { headers, type MsgHdrs } from "./nats-client.js";

const BUS = "Rf-Bus";
const FRAME = "Rf-Frame";
const TRACEPARENT = "traceparent";
const MAC = "Rf-Mac";
const MAC_BYTES = 16;
const LINE = /^(frame|beat|ask|bye) (\d{1,15}) (\d{1,15}) (\d{1,5})\/(\d{1,5})$/;
/** Bytes that the headers of any message stay under. */
export const HEADER_BYTES_MAX = 6_144;

export interface BusMessage {
  /**
   * frame: a part of frame `sent` · beat: I am here · ask: send again what comes after `got` · bye: I
   * leave, and nothing comes after `sent`
   */
  readonly kind: "frame" | "beat" | "ask" | "bye";
  /** Number of the frame, or of the last one that was sent; from 1. */
  readonly sent: number;
  /** Number of the last frame that came whole. */
  readonly got: number;
  /** From 0. */
  readonly part: number;
  readonly parts: number;
  /** In the first part of a frame. */
  readonly frame: FrameHeader | null;
}

export function encodeBusMessage(message: BusMessage, channelId: string, token: string): MsgHdrs {
  const { kind, sent, got, part, parts, frame } = message;
  const line = `${kind} ${sent} ${got} ${part}/${parts}`;
  const { traceparent = "", ...header } = frame ?? {};
  const json = frame ? JSON.stringify(header) : "";
  const encoded = headers();
  encoded.set(BUS, line);
  if (json !== "") encoded.set(FRAME, json);
  if (traceparent !== "") encoded.set(TRACEPARENT, traceparent);
  const signed = [channelId, line, json, ...(traceparent === "" ? [] : [traceparent])];
  encoded.set(MAC, macOf(signed, token).toString("hex"));
  return encoded;
}

/** Null for anything that the holder of the token did not write, or that is no message. */
export function decodeBusMessage(
  encoded: MsgHdrs,
  channelId: string,
  token: string,
): BusMessage | null {
  const line = encoded.get(BUS);
  const json = encoded.get(FRAME);
  const traceparent = encoded.get(TRACEPARENT);
  const signed = [channelId, line, json, ...(traceparent === "" ? [] : [traceparent])];
  const mac = Buffer.from(encoded.get(MAC), "hex");
  if (mac.length !== MAC_BYTES) return null;
  if (!timingSafeEqual(mac, macOf(signed, token))) return null;
  const [, kind, sent, got, part, parts] = LINE.exec(line) ?? [];
  if (!kind) return null;
  const header = json === "" ? null : decodeFrameHeader(Buffer.from(json));
  const frame = header && traceparent !== "" ? { ...header, traceparent } : header;
  const message = {
    sent: Number(sent),
    got: Number(got),
    part: Number(part),
    parts: Number(parts),
  };
  const isFirst = kind === "frame" && message.part === 0;
  if (isFirst !== (frame !== null) || message.part >= message.parts) return null;
  return { kind: kind as BusMessage["kind"], ...message, frame };
}

function macOf(signed: readonly string[], token: string): Buffer {
  return createHmac("sha256", token).update(signed.join("\n")).digest().subarray(0, MAC_BYTES);
}
