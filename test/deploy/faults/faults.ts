/** @file Every fault that is planted in a copy of the objects. */
import { OF_AVAILABILITY } from "./availability.js";
import type { Fault } from "./fault.js";
import { OF_THE_NETWORK } from "./network.js";
import { OF_OBJECTS } from "./objects.js";
import { OF_PODS } from "./pods.js";

export const FAULTS: readonly Fault[] = [
  ...OF_OBJECTS,
  ...OF_PODS,
  ...OF_THE_NETWORK,
  ...OF_AVAILABILITY,
];
