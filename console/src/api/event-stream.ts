/**
 * @file Server-sent events by fetch: an EventSource cannot send the Authorization header. It comes
 * back by itself with the id of the last event it saw.
 */
import { authorization } from "./client.js";

export interface StreamEvent {
  readonly event: string;
  readonly data: unknown;
}

/** live: events come · connecting: not yet, or not any more · refused: the key is missing or wrong. */
export type StreamState = "connecting" | "live" | "refused";

export interface StreamHandlers {
  /** The next event is read when this one is dealt with. */
  readonly onEvent: (event: StreamEvent) => Promise<void>;
  readonly onState: (state: StreamState) => void;
}

const RETRY_MS = [500, 1_000, 2_000, 5_000];

/** Follows a stream until the signal aborts. */
export async function followEvents(
  path: string,
  handlers: StreamHandlers,
  signal: AbortSignal,
): Promise<void> {
  let lastId = "";
  for (let failures = 0; !signal.aborted; failures++) {
    handlers.onState("connecting");
    try {
      const headers = { ...authorization(), ...(lastId === "" ? {} : { "Last-Event-ID": lastId }) };
      const response = await fetch(path, { headers, signal, cache: "no-store" });
      if (response.status === 401 || response.status === 403) {
        handlers.onState("refused");
        return;
      }
      if (response.ok && response.body) {
        handlers.onState("live");
        failures = 0;
        for await (const { id, ...event } of parseEvents(response.body)) {
          await handlers.onEvent(event);
          // Only now: an event that was not dealt with has to come again.
          lastId = id;
        }
      }
    } catch {
      // The line broke, or an event could not be dealt with: both are tried again.
    }
    await pause(RETRY_MS[Math.min(failures, RETRY_MS.length - 1)] ?? 0, signal);
  }
}

async function* parseEvents(
  body: ReadableStream<Uint8Array>,
): AsyncGenerator<StreamEvent & { readonly id: string }> {
  const reader = body.pipeThrough(new TextDecoderStream() as never).getReader();
  let text = "";
  try {
    for (;;) {
      const { value, done } = (await reader.read()) as { value?: string; done: boolean };
      if (done) return;
      text += value;
      const blocks = text.split("\n\n");
      text = blocks.pop() ?? "";
      for (const block of blocks) {
        const fields = new Map(block.split("\n").map(splitField));
        const data = fields.get("data");
        const id = fields.get("id") ?? "";
        if (data) yield { event: fields.get("event") ?? "message", id, data: JSON.parse(data) };
      }
    }
  } finally {
    reader.cancel().catch(() => {}); // the stream may have broken already
  }
}

function splitField(line: string): [string, string] {
  const colon = line.indexOf(":");
  return [line.slice(0, colon), line.slice(colon + 1).trimStart()];
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
