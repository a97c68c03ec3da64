/** @file `renderfarm doctor`: whether everything that a farm needs is in order here. */
import type { Command } from "commander";
import { addConnection } from "./connection.js";
import type { DoctorFlags } from "./doctor-checks.js";
import { addOutput } from "./output.js";

export function addDoctorVerb(program: Command): void {
  const command = program.command("doctor").description("look at everything that a farm needs");
  addOutput(addConnection(command))
    .option("-c, --checkpoint <folder>", "a diffusers folder to look at")
    .option("--journal <url>", "the coordinator's nats://..., to be dialled")
    .option("--blobs <url>", "the coordinator's s3://... or file:DIR, to be written and read")
    .action(async (flags: DoctorFlags) => {
      // Every engine and client there is: no other command wants them all.
      const { doctor } = await import("./doctor-checks.js");
      await doctor(flags);
    });
}
