/** @file Every call of a client, told when it has ended. */
import { InterceptingCall, type Interceptor, status } from "@grpc/grpc-js";

/** A call, streams included, and how it ended. */
export interface EndedCall {
  /** "GetFarm". */
  readonly method: string;
  /** "OK", "UNAVAILABLE". */
  readonly status: string;
  readonly seconds: number;
}

/** @source gRPC A-L5, "Node.js client interceptors" */
export function callTeller(onCall: (call: EndedCall) => void): Interceptor {
  return (options, nextCall) => {
    const startMs = performance.now();
    const method = options.method_definition.path.split("/").at(-1) ?? "";
    return new InterceptingCall(nextCall(options), {
      start(metadata, _listener, next) {
        next(metadata, {
          onReceiveStatus(ended, pass) {
            const seconds = (performance.now() - startMs) / 1_000;
            onCall({ method, status: status[ended.code] ?? String(ended.code), seconds });
            pass(ended);
          },
        });
      },
    });
  };
}
