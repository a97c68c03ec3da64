/** @file The other side of an exchange, a process of its own; its parent tells it what to do. */
import { type Exchange, type Opening, openWay, type Way } from "./exchange.js";

/** open → {address}; join → {joined}; run → {ran}; close → {closed}. */
export type PeerOrder =
  | { readonly kind: "open"; readonly way: Way; readonly floats: number; readonly server: string }
  | { readonly kind: "join"; readonly address: string | null }
  | { readonly kind: "run"; readonly rounds: number }
  | { readonly kind: "close" };

let opening: Opening | null = null;
let exchange: Exchange | null = null;

process.on("message", (order: PeerOrder) => void obey(order));
process.once("disconnect", () => process.exit(0));
process.send?.({ ready: true });

async function obey(order: PeerOrder): Promise<void> {
  switch (order.kind) {
    case "open":
      opening = await openWay(order.way, "b", new Float32Array(order.floats), order.server);
      process.send?.({ address: opening.address });
      return;
    case "join":
      exchange = (await opening?.join(order.address)) ?? null;
      process.send?.({ address: null });
      return;
    case "run":
      process.send?.({ address: null });
      for (let i = 0; i < order.rounds; i++) await exchange?.exchange();
      return;
    case "close":
      await exchange?.close();
      process.send?.({ address: null });
      return;
  }
}
