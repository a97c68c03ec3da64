/** @file Ctrl-C and its relatives: the first one asks a command to end in good order. */

const EXIT_OF_SIGNAL = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

export class Interrupts {
  readonly #controller = new AbortController();
  #exitCode: number | null = null;

  /** Listens from now on; a second signal ends the process at once. */
  constructor() {
    for (const [name, code] of Object.entries(EXIT_OF_SIGNAL)) {
      process.on(name, () => {
        if (this.#exitCode !== null) process.exit(code);
        this.#exitCode = code;
        this.#controller.abort();
      });
    }
  }

  /** Aborts with the first signal. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** What a process that a signal ended exits with; null as long as none came. */
  get exitCode(): number | null {
    return this.#exitCode;
  }
}
