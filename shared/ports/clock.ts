/** @file Port: time that passes. Whoever waits takes a clock, so that tests and simulations need not. */

/** Takes a timer back; calling it late or twice does nothing. */
export type CancelTimer = () => void;

export interface Clock {
  /** Milliseconds on a clock that never jumps; only differences mean something. */
  nowMs(): number;
  /** Calls back once, `delayMs` from now. */
  after(delayMs: number, callback: () => void): CancelTimer;
}
