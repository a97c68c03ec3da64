/** @file A room with a network of its own, and the one link from there to this machine. */
import { execFileSync } from "node:child_process";
import { Room } from "./room.js";

export class RoomLink {
  readonly room: Room;
  /** Addresses of the two ends. */
  readonly here: string;
  readonly there: string;
  readonly #name: string;

  private constructor(room: Room, name: string, net: number) {
    this.room = room;
    this.#name = name;
    // Of 198.18.0.0/15, which is for tests of networks (RFC 2544): four addresses a link.
    const base = `198.18.${net >> 6}.`;
    const first = (net & 63) * 4;
    this.here = `${base}${first + 1}`;
    this.there = `${base}${first + 2}`;
  }

  /** For root; see whyNoLink. */
  static async open(): Promise<RoomLink> {
    const room = await Room.open("net", "ip link set lo up");
    const link = new RoomLink(room, `rf${room.pid}`, room.pid % 16_384);
    const [near, far] = [`${link.#name}a`, `${link.#name}b`];
    ip("link", "add", near, "type", "veth", "peer", "name", far, "netns", String(room.pid));
    ip("addr", "add", `${link.here}/30`, "dev", near);
    ip("link", "set", near, "up");
    room.run("ip", "addr", "add", `${link.there}/30`, "dev", far);
    room.run("ip", "link", "set", far, "up");
    return link;
  }

  /** Nothing goes through any more, and nobody is told. */
  cut(): void {
    ip("link", "set", `${this.#name}a`, "down");
  }

  heal(): void {
    ip("link", "set", `${this.#name}a`, "up");
  }

  async close(): Promise<void> {
    // The link goes with the room.
    await this.room.close();
  }
}

function ip(...args: string[]): void {
  execFileSync("ip", args);
}
