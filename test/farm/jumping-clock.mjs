// Loaded before a process of the farm (node --import): its wall clock jumps by RENDERFARM_TEST_JUMP_MS at
// every SIGUSR2, as one that an operator or a time server sets does. What measures spans stays as it is.
const jumpMs = Number(process.env.RENDERFARM_TEST_JUMP_MS);
const RealDate = Date;
let offsetMs = 0;
process.on("SIGUSR2", () => {
  offsetMs += jumpMs;
  process.stderr.write(`${JSON.stringify({ msg: "the clock has jumped" })}\n`);
});

globalThis.Date = class extends RealDate {
  constructor(...parts) {
    if (parts.length === 0) super(RealDate.now() + offsetMs);
    else super(...parts);
  }

  static now() {
    return RealDate.now() + offsetMs;
  }
};
