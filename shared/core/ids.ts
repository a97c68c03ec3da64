/** @file Identifiers: 128 random bits as 26 characters, safe in file names, subjects and URLs. */

const ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"; // Crockford's base32, lower case

/** The only form an id from outside may have, checked before it becomes part of any key or path. */
export const ID_PATTERN = /^[a-z0-9]{26}$/;

/**
 * @param entropy 16 random bytes; the caller owns the randomness
 * @returns 26 characters of [a-z0-9]
 */
export function idFromBytes(entropy: Uint8Array): string {
  if (entropy.length !== 16) throw new RangeError(`an id needs 16 bytes, got ${entropy.length}`);
  let value = entropy.reduce((acc, byte) => (acc << 8n) | BigInt(byte), 0n);
  let id = "";
  for (let i = 0; i < 26; i++) {
    id = ALPHABET[Number(value & 31n)] + id;
    value >>= 5n;
  }
  return id;
}
