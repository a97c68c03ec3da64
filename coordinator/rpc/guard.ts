/**
 * @file The door of the API: every call passes here before its handler. Who makes it is found out,
 * the table of scopes is looked at, what changes something is written to the audit log, and a stream
 * whose key or certificate is no longer good is cut.
 */
import { randomUUID } from "node:crypto";
import {
  Metadata,
  ResponderBuilder,
  ServerInterceptingCall,
  type ServerInterceptingCallInterface,
  type ServerInterceptor,
  ServerListenerBuilder,
  status,
} from "@grpc/grpc-js";
import { toServiceError } from "../../shared/adapters/grpc/status.js";
import { asFarmError, FarmError } from "../../shared/core/errors.js";
import type { Access } from "../access/access.js";
import { authenticate } from "../access/authenticate.js";
import type { Caller } from "../access/caller.js";
import { type Rule, RULES } from "../access/scopes.js";

/** Tells handlers who calls: the guard has seen to it that they may. */
export type CallerOf = (metadata: Metadata) => Caller;

/** Without keys everybody is the farm's owner. */
export const everybodyIsOwner: CallerOf = () => ({ kind: "open" });

const REQUEST_ID_HEADER = "x-request-id";
const REQUEST_ID_PATTERN = /^[A-Za-z0-9._-]{1,64}$/;

/** One call while it goes on. */
interface Passage {
  readonly rule: Rule | undefined;
  requestId: string;
  /** Address of the other side, without its port. */
  readonly source: string;
  caller: Caller | null;
  /** Id of the job or node that it is about. */
  object: string;
  isNoted: boolean;
  /** Its end was sent already. */
  isCut: boolean;
  /** Too many of its kind failed: it is not worth a line in the log. */
  isMuted: boolean;
}

export interface Guard {
  readonly interceptor: ServerInterceptor;
  readonly callerOf: CallerOf;
}

export function guardOf(access: Access): Guard {
  const callers = new WeakMap<Metadata, Caller>();
  const interceptor: ServerInterceptor = (descriptor, call) => {
    const passage: Passage = {
      rule: RULES.get(descriptor.path),
      requestId: "",
      source: sourceOf(call.getPeer()),
      ...{ caller: null, object: "", isNoted: false, isCut: false, isMuted: false },
    };
    const { requestStream, responseStream } = descriptor;
    return guarded(access, call, { passage, callers, requestStream, responseStream });
  };
  const callerOf = (metadata: Metadata) => {
    const caller = callers.get(metadata);
    if (!caller) throw new FarmError("unauthenticated", "the call did not pass the door");
    return caller;
  };
  return { interceptor, callerOf };
}

interface Guarding {
  readonly passage: Passage;
  readonly callers: WeakMap<Metadata, Caller>;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
}

function guarded(
  access: Access,
  call: ServerInterceptingCallInterface,
  { passage, callers, requestStream, responseStream }: Guarding,
): ServerInterceptingCall {
  let unwatch = () => {};
  const end = (code: status) => {
    unwatch();
    note(access, passage, code);
  };
  const refuse = (error: unknown) => {
    if (passage.isCut) return;
    passage.isCut = true;
    const { code, details, metadata } = toServiceError(error);
    end(code);
    call.sendStatus({ code, details, metadata: named(metadata, passage) });
  };
  const listener = new ServerListenerBuilder()
    .withOnReceiveMetadata((metadata, next) => {
      passage.requestId = requestIdOf(metadata);
      try {
        passage.caller = identify(access, call, metadata, passage);
        if (isChange(passage.rule)) refuseUnaudited(access);
      } catch (error) {
        refuse(error);
        return;
      }
      callers.set(metadata, passage.caller);
      // A call that is answered at once is not worth cutting; what it did could not be taken back.
      if (requestStream || responseStream) unwatch = watchCaller(access, passage.caller, refuse);
      next(metadata);
    })
    .withOnReceiveMessage((message, next) => {
      passage.object ||= objectOf(message);
      next(message);
    })
    .withOnCancel(() => {
      unwatch();
      // The handler of a unary call goes on, and how that ends is what counts.
      if (responseStream) note(access, passage, status.CANCELLED);
    })
    .build();
  const responder = new ResponderBuilder()
    .withStart((next) => next(listener))
    .withSendMessage((message, next) => {
      passage.object ||= objectOf(message);
      if (!responseStream) note(access, passage, status.OK);
      next(message);
    })
    .withSendStatus((sent, next) => {
      if (passage.isCut) return;
      end(sent.code);
      next({ ...sent, metadata: named(sent.metadata ?? new Metadata(), passage) });
    })
    .build();
  return new ServerInterceptingCall(call, responder);
}

/** @throws FarmError "unauthenticated", "permission-denied", "exhausted" after too many failures */
function identify(
  access: Access,
  call: ServerInterceptingCallInterface,
  metadata: Metadata,
  passage: Passage,
): Caller {
  const shown = {
    authorization: metadata.get("authorization")[0]?.toString() ?? null,
    certificate: call.getAuthContext().sslPeerCertificate ?? null,
  };
  // What handlers and logs never see cannot leak from there.
  metadata.remove("authorization");
  try {
    return authenticate(passage.rule, shown, {
      farm: access.farm,
      findKey: (token) => access.keys.find(token),
      nowMs: access.wallMs(),
    });
  } catch (error) {
    if (asFarmError(error).code !== "unauthenticated") throw error;
    const waitMs = access.failures.note(passage.source);
    if (waitMs === 0) throw error;
    passage.isMuted = true;
    const bound = { subject: `source:${passage.source}`, retryAfterMs: waitMs };
    throw new FarmError("exhausted", "too many calls without a good key; wait", { bound });
  }
}

/** Ends the call when its key is revoked or expires, or its certificate ends. */
function watchCaller(access: Access, caller: Caller, cut: (error: unknown) => void): () => void {
  if (caller.kind === "user") {
    return access.keys.onLook(() => {
      if (access.keys.isGood(caller.keyId)) return;
      cut(new FarmError("unauthenticated", `the key ${caller.keyId} is no longer good`));
    });
  }
  if (caller.kind !== "node") return () => {};
  return access.keys.onLook(() => {
    if (access.wallMs() < caller.endsAtMs) return;
    cut(new FarmError("unauthenticated", `the certificate of node ${caller.nodeId} has ended`));
  });
}

function refuseUnaudited({ audit }: Access): void {
  if (!audit.isBroken) return;
  const detail = "the audit log cannot be written, so nothing may be changed; try again later";
  throw new FarmError("unreachable", detail);
}

function note({ audit }: Access, passage: Passage, code: status): void {
  const { rule, caller, object, source, requestId } = passage;
  if (!isChange(rule) || passage.isMuted || passage.isNoted) return;
  passage.isNoted = true;
  audit.note({
    who: whoIs(caller),
    tenant: caller?.kind === "user" ? caller.owner : "",
    action: rule.action,
    object,
    result: status[code],
    ...{ source, requestId },
  });
}

function isChange(rule: Rule | undefined): rule is Rule & { readonly action: string } {
  return rule !== undefined && rule.who !== "anyone" && rule.action !== null;
}

function whoIs(caller: Caller | null): string {
  if (caller?.kind === "user") return `key:${caller.keyId}`;
  return caller?.kind === "node" ? `node:${caller.nodeId}` : "unknown";
}

/** Fields by which messages of the API name what they are about. */
function objectOf(message: unknown): string {
  const { jobId, nodeId, job, hello, blob } = message as Partial<{
    jobId: unknown;
    nodeId: unknown;
    job: { jobId?: unknown };
    hello: { nodeId?: unknown };
    blob: { key?: unknown };
  }>;
  const id = jobId ?? nodeId ?? job?.jobId ?? hello?.nodeId ?? blob?.key;
  return typeof id === "string" ? id.slice(0, 80) : "";
}

function requestIdOf(metadata: Metadata): string {
  const given = metadata.get(REQUEST_ID_HEADER)[0]?.toString() ?? "";
  return REQUEST_ID_PATTERN.test(given) ? given : randomUUID();
}

/** The same id is in the audit log: a user can tell an operator which call it was. */
function named(metadata: Metadata, { requestId }: Passage): Metadata {
  metadata.set(REQUEST_ID_HEADER, requestId);
  return metadata;
}

/** "10.0.0.1:40000" -> "10.0.0.1". */
function sourceOf(peer: string): string {
  const colon = peer.lastIndexOf(":");
  return colon > 0 ? peer.slice(0, colon) : peer;
}
