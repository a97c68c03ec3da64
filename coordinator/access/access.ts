/** @file What the door of a secured coordinator is made of. */
import type { TlsFiles } from "../../shared/adapters/tls/tls-files.js";
import type { Audit } from "./audit.js";
import type { AuthFailures } from "./failures.js";
import type { KeyRing } from "./key-ring.js";
import type { Quotas } from "./quotas.js";

export interface Access {
  /** Name of the farm in its certificates. */
  readonly farm: string;
  readonly tls: TlsFiles;
  readonly keys: KeyRing;
  readonly quotas: Quotas;
  readonly failures: AuthFailures;
  readonly audit: Audit;
  /** Milliseconds since 1970. */
  readonly wallMs: () => number;
}
