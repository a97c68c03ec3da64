/** @file Opens the files that secure a coordinator: certificate, keys, audit log. */
import { TlsFiles } from "../../shared/adapters/tls/tls-files.js";
import type { Clock } from "../../shared/ports/clock.js";
import type { Log } from "../../shared/ports/log.js";
import type { AccessSettings } from "../settings.js";
import type { Access } from "./access.js";
import { AuditFile } from "./audit.js";
import { AuthFailures } from "./failures.js";
import { KeyRing } from "./key-ring.js";
import { Quotas } from "./quotas.js";

/**
 * @param wallMs milliseconds since 1970
 * @throws FarmError "invalid-argument" naming the file that is not what it must be
 */
export async function openAccess(
  settings: AccessSettings,
  clock: Clock,
  wallMs: () => number,
  log: Log,
): Promise<Access> {
  const tls = new TlsFiles(settings.tls, { role: "coordinator", clock, wallMs, log });
  const keys = new KeyRing(settings.apiKeys, { clock, wallMs, log });
  const nowMs = () => clock.nowMs();
  return {
    farm: tls.current.identity.farm,
    ...{ tls, keys, wallMs },
    quotas: new Quotas((owner) => keys.quotaOf(owner), nowMs),
    failures: new AuthFailures(nowMs),
    audit: await AuditFile.open(settings.audit, wallMs, log),
  };
}
