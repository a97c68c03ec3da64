/**
 * @file The door of a secured coordinator, the same for gRPC and HTTP: lets a call in or refuses it,
 * writes down what changes something, and tells when who was let in has to leave.
 */
import { asFarmError, FarmError } from "../../shared/core/errors.js";
import type { Access } from "./access.js";
import { authenticate, type Shown } from "./authenticate.js";
import type { Caller } from "./caller.js";
import { RULES, type Rule } from "./scopes.js";

/** One call at the door. */
export interface Visit {
  /** Full name of the method, as in the table of scopes. */
  readonly method: string;
  /** Address of the other side, without its port. */
  readonly source: string;
  readonly requestId: string;
}

export class Door {
  readonly #access: Access;

  constructor(access: Access) {
    this.#access = access;
  }

  /** @throws FarmError "unauthenticated", "permission-denied", "exhausted", "unreachable" */
  enter({ method, source }: Visit, shown: Shown): Caller {
    const { farm, keys, wallMs, audit } = this.#access;
    const rule = RULES.get(method);
    if (isChange(rule) && audit.isBroken) {
      const detail = "the audit log cannot be written, so nothing may be changed; try again later";
      throw new FarmError("unreachable", detail);
    }
    try {
      const findKey = (token: string) => keys.find(token);
      return authenticate(rule, shown, { farm, findKey, nowMs: wallMs() });
    } catch (error) {
      throw this.#counted(error, source);
    }
  }

  /**
   * Writes down how a call ended that changes something, or wanted to.
   *
   * @param caller null when nobody was let in
   * @param object id of the job, node or input that it was about
   * @param result name of the gRPC status
   */
  note(
    { method, source, requestId }: Visit,
    caller: Caller | null,
    object: string,
    result: string,
  ) {
    const rule = RULES.get(method);
    if (!isChange(rule)) return;
    const tenant = caller?.kind === "user" ? caller.owner : "";
    const { action } = rule;
    this.#access.audit.note({
      ...{ who: whoIs(caller), tenant, action, object, result, source, requestId },
    });
  }

  /** Calls back once when the caller's key is revoked or expires, or its certificate ends. */
  onNoLongerGood(caller: Caller, leave: (why: FarmError) => void): () => void {
    const { keys, wallMs } = this.#access;
    if (caller.kind === "user") {
      return keys.onLook(() => {
        if (keys.isGood(caller.keyId)) return;
        leave(new FarmError("unauthenticated", `the key ${caller.keyId} is no longer good`));
      });
    }
    if (caller.kind !== "node") return () => {};
    return keys.onLook(() => {
      if (wallMs() < caller.endsAtMs) return;
      const detail = `the certificate of node ${caller.nodeId} has ended`;
      leave(new FarmError("unauthenticated", detail));
    });
  }

  /** A source that fails all the time is told so, and no longer worth a line in the log. */
  #counted(error: unknown, source: string): unknown {
    if (asFarmError(error).code !== "unauthenticated") return error;
    const waitMs = this.#access.failures.note(source);
    if (waitMs === 0) return error;
    const bound = { subject: `source:${source}`, retryAfterMs: waitMs };
    return new FarmError("exhausted", "too many calls without a good key; wait", { bound });
  }
}

function isChange(rule: Rule | undefined): rule is Rule & { readonly action: string } {
  return rule !== undefined && rule.who !== "anyone" && rule.action !== null;
}

function whoIs(caller: Caller | null): string {
  if (caller?.kind === "user") return `key:${caller.keyId}`;
  return caller?.kind === "node" ? `node:${caller.nodeId}` : "unknown";
}
