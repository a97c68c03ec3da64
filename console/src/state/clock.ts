/** @file The time, for "3 min ago": moves on every few seconds. */
import { signal } from "@preact/signals";

const TICK_MS = 5_000;

export const now = signal(Date.now());

setInterval(() => {
  now.value = Date.now();
}, TICK_MS);
