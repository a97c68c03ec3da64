/** @file Takes secrets out of texts that go to a log: keys of users, seeds, signatures of URLs. */

const HIDDEN = "[hidden]";
const SECRETS: readonly [pattern: RegExp, instead: string][] = [
  // A user's key keeps the part by which operators find it: rf_<id>_<secret>.
  [/\b(rf_[0-9a-f]{6,32})_[A-Za-z0-9_-]{16,}/g, `$1_${HIDDEN}`],
  [/\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{8,}/gi, `$1 ${HIDDEN}`],
  // What makes a signed URL of S3 good: its signature, its credential, its session.
  [
    /\b(X-Amz-(?:Signature|Credential|Security-Token)|Signature|AWSAccessKeyId)=[^&\s"']+/gi,
    `$1=${HIDDEN}`,
  ],
  [/\bS[UAO][A-Z2-7]{56}\b/g, HIDDEN],
  [/-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?-----END [A-Z ]*PRIVATE KEY-----/g, HIDDEN],
  [/\b([a-z][a-z0-9+.-]*:\/\/[^\s/:@]+):[^\s/@]+@/gi, `$1:${HIDDEN}@`],
];
/** Fields that are secret whatever they hold. */
const SECRET_FIELDS =
  /^(authorization|token|busToken|bus_token|secretKey|secret_key|sessionToken|session_token|seed|password)$/;

export function scrubText(text: string): string {
  return SECRETS.reduce((left, [pattern, instead]) => left.replace(pattern, instead), text);
}

/** A copy of a log's fields without secrets; what is nested deeper than logs are is left out. */
export function scrubFields(value: unknown, depth = 0): unknown {
  if (typeof value === "string") return scrubText(value);
  if (value === null || typeof value !== "object") return value;
  if (depth > 4) return HIDDEN;
  if (Array.isArray(value)) return value.map((each) => scrubFields(each, depth + 1));
  const entries = value instanceof Error ? errorEntries(value) : Object.entries(value);
  return Object.fromEntries(
    entries.map(([name, field]) => [
      name,
      SECRET_FIELDS.test(name) ? HIDDEN : scrubFields(field, depth + 1),
    ]),
  );
}

function errorEntries(error: Error): [string, unknown][] {
  const { name, message, stack } = error;
  return [["type", name], ["message", message], ["stack", stack], ...Object.entries(error)];
}
