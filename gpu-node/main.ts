/** @file The node process: `gpu-node/main.js --coordinator HOST:PORT --checkpoint DIR --blobs URL`. */
import { runNode } from "./run-node.js";

runNode();
