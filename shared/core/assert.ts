/** @file Bugs: conditions that only wrong code can break. They crash the process on purpose. */

/** @throws Error when the condition does not hold; the message says what was expected. */
export function assert(condition: unknown, expectation: string): asserts condition {
  if (!condition) throw new Error(`bug: expected ${expectation}`);
}

/** Makes a `switch` over a union exhaustive: a new member does not compile until it has a case. */
export function assertNever(value: never): never {
  throw new Error(`bug: unhandled case ${JSON.stringify(value)}`);
}
