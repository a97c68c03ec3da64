/**
 * @file Every call of gRPC passes the door before its handler, also one whose handler knows nothing of
 * it: an interceptor of the server, not something that a handler could forget.
 */
import {
  Metadata,
  ResponderBuilder,
  ServerInterceptingCall,
  type ServerInterceptingCallInterface,
  type ServerInterceptor,
  type ServerListener,
  ServerListenerBuilder,
  status,
} from "@grpc/grpc-js";
import { toServiceError } from "../../shared/adapters/grpc/status.js";
import { asFarmError, FarmError } from "../../shared/core/errors.js";
import type { Access } from "../access/access.js";
import { type Caller, OWNER_OF_ALL } from "../access/caller.js";
import { Door } from "../access/door.js";
import { REQUEST_ID_HEADER, requestIdInterceptor, requestIdOf } from "./call-context.js";

/** Tells handlers who calls: the door has seen to it that they may. */
export type CallerOf = (metadata: Metadata) => Caller;

export interface Guard {
  readonly interceptors: ServerInterceptor[];
  readonly callerOf: CallerOf;
}

const OBJECT_LENGTH_MAX = 80;

/** @param access null: a farm of one machine, where everybody is its owner */
export function guardOf(access: Access | null): Guard {
  if (access === null) {
    return { interceptors: [requestIdInterceptor], callerOf: () => OWNER_OF_ALL };
  }
  const door = new Door(access);
  const callers = new WeakMap<Metadata, Caller>();
  const interceptor: ServerInterceptor = ({ path, requestStream, responseStream }, call) => {
    const kind = { isStream: requestStream || responseStream, responseStream };
    return new Passage(door, { ...kind, method: path }, call, callers).intercepted();
  };
  const callerOf = (metadata: Metadata) => {
    const caller = callers.get(metadata);
    if (!caller) throw new FarmError("unauthenticated", "the call did not pass the door");
    return caller;
  };
  return { interceptors: [interceptor], callerOf };
}

interface CallKind {
  readonly method: string;
  readonly isStream: boolean;
  readonly responseStream: boolean;
}

/** One call, from its headers to its status. */
class Passage {
  readonly #door: Door;
  readonly #kind: CallKind;
  readonly #call: ServerInterceptingCallInterface;
  readonly #callers: WeakMap<Metadata, Caller>;
  readonly #source: string;
  #requestId = "";
  #caller: Caller | null = null;
  #object = "";
  /** A source that fails too often is not worth a line each time. */
  #isNoted = false;
  /** Its end was sent already, whatever the handler still does. */
  #isCut = false;
  #unwatch = () => {};

  constructor(
    door: Door,
    kind: CallKind,
    call: ServerInterceptingCallInterface,
    callers: WeakMap<Metadata, Caller>,
  ) {
    this.#door = door;
    this.#kind = kind;
    this.#call = call;
    this.#callers = callers;
    this.#source = sourceOf(call.getPeer());
  }

  intercepted(): ServerInterceptingCall {
    const responder = new ResponderBuilder()
      .withStart((next) => next(this.#listener()))
      .withSendMessage((message, next) => {
        this.#object ||= objectOf(message);
        if (!this.#kind.responseStream) this.#note(status.OK);
        next(message);
      })
      .withSendStatus((sent, next) => {
        this.#unwatch();
        if (this.#isCut) return;
        this.#note(sent.code);
        next({ ...sent, metadata: this.#named(sent.metadata ?? new Metadata()) });
      })
      .build();
    return new ServerInterceptingCall(this.#call, responder);
  }

  #listener(): ServerListener {
    return new ServerListenerBuilder()
      .withOnReceiveMetadata((metadata, next) => {
        if (this.#enter(metadata)) next(metadata);
      })
      .withOnReceiveMessage((message, next) => {
        this.#object ||= objectOf(message);
        next(message);
      })
      .withOnCancel(() => {
        this.#unwatch();
        // The handler of a unary call goes on, and how that ends is what counts.
        if (this.#kind.responseStream) this.#note(status.CANCELLED);
      })
      .build() as ServerListener;
  }

  /** @returns false when it was refused */
  #enter(metadata: Metadata): boolean {
    this.#requestId = requestIdOf(metadata.get(REQUEST_ID_HEADER)[0]?.toString() ?? "");
    metadata.set(REQUEST_ID_HEADER, this.#requestId);
    const shown = {
      authorization: metadata.get("authorization")[0]?.toString() ?? null,
      certificate: this.#call.getAuthContext().sslPeerCertificate ?? null,
    };
    // What handlers and logs never see cannot leak from there.
    metadata.remove("authorization");
    try {
      this.#caller = this.#door.enter(this.#visit, shown);
    } catch (error) {
      if (asFarmError(error).code === "exhausted") this.#isNoted = true;
      this.#cut(error);
      return false;
    }
    this.#callers.set(metadata, this.#caller);
    // A unary call is not worth cutting: what it did could not be taken back.
    if (this.#kind.isStream) {
      this.#unwatch = this.#door.onNoLongerGood(this.#caller, (why) => this.#cut(why));
    }
    return true;
  }

  #cut(error: unknown): void {
    this.#unwatch();
    if (this.#isCut) return;
    this.#isCut = true;
    const { code, details, metadata } = toServiceError(error);
    this.#note(code);
    this.#call.sendStatus({ code, details, metadata: this.#named(metadata) });
  }

  #note(code: status): void {
    if (this.#isNoted) return;
    this.#isNoted = true;
    this.#door.note(this.#visit, this.#caller, this.#object, status[code]);
  }

  get #visit() {
    return { method: this.#kind.method, source: this.#source, requestId: this.#requestId };
  }

  /** The same id is in the audit log: a user can tell an operator which call it was. */
  #named(metadata: Metadata): Metadata {
    metadata.set(REQUEST_ID_HEADER, this.#requestId);
    return metadata;
  }
}

/** Fields by which messages of the API name what they are about. */
interface Named {
  readonly jobId?: unknown;
  readonly nodeId?: unknown;
  readonly job?: { readonly jobId?: unknown };
  readonly blob?: { readonly key?: unknown };
  readonly report?: { readonly value?: { readonly nodeId?: unknown } };
}

function objectOf(message: unknown): string {
  const { jobId, nodeId, job, blob, report } = message as Named;
  const id = jobId ?? nodeId ?? job?.jobId ?? blob?.key ?? report?.value?.nodeId;
  return typeof id === "string" ? id.slice(0, OBJECT_LENGTH_MAX) : "";
}

/** "10.0.0.1:40000" -> "10.0.0.1". */
function sourceOf(peer: string): string {
  const colon = peer.lastIndexOf(":");
  return colon > 0 ? peer.slice(0, colon) : peer;
}
