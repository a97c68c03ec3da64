/** @file Port: where a part says what happened that no caller can act on; pino's loggers fit it. */
export interface Log {
  info(text: string): void;
  /** Something was lost, refused or put right, and an operator should know. */
  warn(text: string): void;
}

export const silentLog: Log = { info() {}, warn() {} };
