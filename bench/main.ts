/** @file `npm run bench`: the engine; `npm run bench -- farm`: the farm around it. */
import { benchEngine } from "./engine-table.js";
import { benchFarm } from "./farm/main.js";

const [subject, ...args] = process.argv.slice(2);
const isGood = subject === "farm" ? await benchFarm(args) : await benchEngine();
process.exitCode = isGood ? 0 : 1;
