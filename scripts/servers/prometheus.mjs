// Prometheus, to scrape a real farm in a test; Debian's, whatever its version: there is no wheel of it, and
// its build from source wants a web toolchain.
export const server = {
  name: "prometheus",
  version: "debian",
  binary: "prometheus",
  debian: "prometheus",
};
