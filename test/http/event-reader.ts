/** @file Reads server-sent events one by one, as a browser would. */
import { get, type IncomingMessage } from "node:http";
import { onTestFinished } from "vitest";

export interface ReadEvent {
  readonly event: string;
  readonly id: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into whatever came
  readonly data: any;
}

export interface EventReader {
  /** The next event; null when the stream has ended. */
  next(): Promise<ReadEvent | null>;
  /** HTTP status of the answer. */
  readonly status: number;
}

/** Opens a stream; it is closed with the test. */
export async function readEvents(url: string, lastId?: string): Promise<EventReader> {
  const headers = lastId === undefined ? {} : { "last-event-id": lastId };
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    get(url, { headers, agent: false }, resolve).on("error", reject);
  });
  onTestFinished(() => {
    response.destroy();
  });
  const events = eventsOf(response);
  return {
    status: response.statusCode ?? 0,
    async next() {
      const { value, done } = await events.next();
      return done ? null : value;
    },
  };
}

async function* eventsOf(response: IncomingMessage): AsyncGenerator<ReadEvent> {
  let text = "";
  response.setEncoding("utf8");
  for await (const piece of response) {
    text += piece as string;
    const blocks = text.split("\n\n");
    text = blocks.pop() ?? "";
    for (const block of blocks) {
      const field = (name: string) =>
        block
          .split("\n")
          .find((line) => line.startsWith(`${name}: `))
          ?.slice(name.length + 2);
      const data = field("data");
      if (data === undefined) continue;
      yield { event: field("event") ?? "", id: field("id") ?? "", data: JSON.parse(data) };
    }
  }
}
