/**
 * @file The door of the farm as HTTP passes it: the same keys, scopes and audit log as on gRPC. Each
 * route names the call of gRPC whose right it needs.
 */
import type { IncomingMessage } from "node:http";
import type { Access } from "../access/access.js";
import { type Caller, OWNER_OF_ALL } from "../access/caller.js";
import { Door } from "../access/door.js";
import { type CallContext, readCallContext } from "../rpc/call-context.js";

/** One request at the door. */
export interface Pass {
  readonly context: CallContext;
  /** @throws FarmError "unauthenticated", "permission-denied", "exhausted", "unreachable" */
  enter(): Caller;
  /**
   * Writes down how it ended.
   *
   * @param object id of the job, node or input that it was about
   * @param result name of the gRPC status
   */
  note(object: string, result: string): void;
  /** Calls back once when who was let in has to leave. */
  onNoLongerGood(leave: () => void): () => void;
}

/** @param access null: a farm of one machine, where everybody is its owner */
export function passOf(access: Access | null, request: IncomingMessage, rpc: string): Pass {
  const context = readCallContext((name) => String(request.headers[name] ?? ""));
  const { requestId } = context;
  if (access === null) {
    return { context, enter: () => OWNER_OF_ALL, note() {}, onNoLongerGood: () => () => {} };
  }
  const door = new Door(access);
  const method = `/renderfarm.v1.JobService/${rpc}`;
  const visit = { method, source: request.socket.remoteAddress ?? "", requestId };
  let caller: Caller | null = null;
  return {
    context,
    enter() {
      const authorization = request.headers.authorization ?? null;
      caller = door.enter(visit, { authorization, certificate: null });
      return caller;
    },
    note: (object, result) => door.note(visit, caller, object, result),
    onNoLongerGood: (leave) => (caller ? door.onNoLongerGood(caller, leave) : () => {}),
  };
}
