/** @file What a call brings along besides its request: the ids by which people find it again. */
import { randomUUID } from "node:crypto";
import {
  Metadata,
  ServerInterceptingCall,
  type ServerInterceptor,
  type ServerListener,
} from "@grpc/grpc-js";
import { formatTraceparent, parseTraceparent } from "../../shared/core/trace-context.js";

export const REQUEST_ID_HEADER = "x-request-id";
const TRACEPARENT_HEADER = "traceparent";
const REQUEST_ID_PATTERN = /^[A-Za-z0-9._-]{1,64}$/;

export interface CallContext {
  /** In the answer, the log and the audit log: a user can tell an operator which call it was. */
  readonly requestId: string;
  /** W3C Trace Context of the caller's span; null without a sound one. */
  readonly traceparent: string | null;
}

/** @param header a header's first value by its name in small letters; "" where there is none */
export function readCallContext(header: (name: string) => string): CallContext {
  const trace = parseTraceparent(header(TRACEPARENT_HEADER));
  return {
    requestId: requestIdOf(header(REQUEST_ID_HEADER)),
    traceparent: trace && formatTraceparent(trace),
  };
}

/** Of a call that has passed the door, which gave it a request id. */
export function callContextOf(metadata: Metadata): CallContext {
  return readCallContext((name) => metadata.get(name)[0]?.toString() ?? "");
}

/** The one that the caller gave, or a new one. */
export function requestIdOf(given: string): string {
  return REQUEST_ID_PATTERN.test(given) ? given : randomUUID();
}

/** Gives every call of a farm without a door its request id, and says it in the answer. */
export const requestIdInterceptor: ServerInterceptor = (_method, call) => {
  let requestId = "";
  const listener: ServerListener = {
    onReceiveMetadata: (metadata, next) => {
      requestId = requestIdOf(metadata.get(REQUEST_ID_HEADER)[0]?.toString() ?? "");
      metadata.set(REQUEST_ID_HEADER, requestId);
      next(metadata);
    },
  };
  return new ServerInterceptingCall(call, {
    start: (next) => next(listener),
    sendStatus: (answer, next) => {
      const metadata = answer.metadata ?? new Metadata();
      metadata.set(REQUEST_ID_HEADER, requestId);
      next({ ...answer, metadata });
    },
  });
};
