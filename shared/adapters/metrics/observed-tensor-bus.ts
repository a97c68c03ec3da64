/** @file A tensor bus whose frames somebody counts; it changes nothing else. */
import type { Partner } from "../../farm/work.js";
import type { BusChannel, ChannelEvents, TensorBus } from "../../ports/tensor-bus.js";
import type { TransferObserver } from "../../ports/transfer-observer.js";

/** @param transport "socket" or "nats" */
export function observedTensorBus(
  bus: TensorBus,
  transport: string,
  observer: TransferObserver,
): TensorBus {
  return {
    join(channelId: string, partner: Partner, events: ChannelEvents): BusChannel {
      const channel = bus.join(channelId, partner, {
        onFrame: (header, payload) => {
          observer.moved(transport, "in", payload.byteLength, null);
          events.onFrame(header, payload);
        },
        onLost: (reason) => {
          observer.failed(transport, "exchange", "unreachable");
          events.onLost(reason);
        },
      });
      return {
        send: (header, payload) => {
          observer.moved(transport, "out", payload.byteLength, null);
          channel.send(header, payload);
        },
        close: () => channel.close(),
      };
    },
  };
}
