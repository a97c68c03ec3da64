/** @file Something that happens once and is waited for. */

export class Latch {
  /** Resolves when `open` was called. */
  readonly opened: Promise<void>;
  #open: () => void = () => {};

  constructor() {
    this.opened = new Promise((resolve) => {
      this.#open = resolve;
    });
  }

  open(): void {
    this.#open();
  }
}
