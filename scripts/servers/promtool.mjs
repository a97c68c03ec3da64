// promtool: checks metrics, rules and their tests; Debian's, whatever its version: there is no wheel of it, and
// its build from source wants a web toolchain.
export const server = {
  name: "promtool",
  version: "debian",
  binary: "promtool",
  debian: "prometheus",
};
