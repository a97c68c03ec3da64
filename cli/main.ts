/** @file The command line: verbs, their flags, and how the process ends. */
import { Command, CommanderError } from "commander";
import { FarmError } from "../shared/core/errors.js";
import { type DevFlags, dev } from "./dev.js";
import { exitCodeOf, explain } from "./failures.js";
import { addFarmFlags, type FarmFlags } from "./farm-flags.js";
import { Interrupts } from "./interrupts.js";
import { addRenderFlags, type RenderFlags } from "./render-flags.js";
import { run } from "./run.js";
import { DEFAULT_ADDRESS, type SubmitFlags, submit } from "./submit.js";
import { packageVersion } from "./version.js";
import { cancel, type WatchFlags, watch } from "./watch.js";

const EXAMPLES = `Examples:
  renderfarm run photo.jpg --checkpoint checkpoints/demo --out clip.mp4
  renderfarm run a.jpg b.jpg --checkpoint checkpoints/demo --out clips --format mp4,gif
  renderfarm dev --checkpoint checkpoints/demo
  renderfarm submit photo.jpg --out clip.mp4
`;

const EXIT_CODES = `
Exit codes: 0 done, 1 the job failed, 2 bad flags or files, 3 the farm cannot be reached,
4 refused, 5 cancelled, 130 interrupted.`;

function buildProgram(signal: AbortSignal): Command {
  const program = new Command("renderfarm")
    .description("Renders Stable Video Diffusion on many machines.")
    .version(packageVersion())
    .addHelpText("beforeAll", EXAMPLES)
    .addHelpText("after", EXIT_CODES)
    .showSuggestionAfterError()
    .configureHelp({ showGlobalOptions: false })
    .exitOverride();

  const runCommand = program
    .command("run [image...]")
    .description("start a farm on this machine, render, stop it");
  addFarmFlags(addRenderFlags(runCommand)).action(
    (images: string[], flags: RenderFlags & FarmFlags) => run(images, flags, signal),
  );

  addFarmFlags(program.command("dev").description("keep a farm up on this machine"))
    .option("--port <n>", "where the coordinator listens (default: 7433)")
    .action((flags: DevFlags) => dev(flags, signal));

  const submitCommand = program
    .command("submit [image...]")
    .description("send a job to a farm, wait, fetch the files");
  addAddress(addRenderFlags(submitCommand))
    .option("--model <name>", "a checkpoint of the farm, by name or digest")
    .option("--detach", "print the job's id and do not wait")
    .action((images: string[], flags: SubmitFlags) => submit(images, flags, signal));

  addAddress(program.command("watch <job>").description("wait for a job, fetch its files"))
    .option("-o, --out <path>", "a file, or a folder")
    .option("--json", "one JSON object on stdout in place of the paths")
    .action((job: string, flags: WatchFlags) => watch(job, flags, signal));

  addAddress(program.command("cancel <job>").description("cancel a job")).action(
    (job: string, flags: WatchFlags) => cancel(job, flags),
  );
  return program;
}

function addAddress(command: Command): Command {
  return command.option(
    "--address <host:port>",
    `the farm (default: $RENDERFARM_ADDRESS, or ${DEFAULT_ADDRESS})`,
  );
}

const USAGE = 2;

async function main(): Promise<number> {
  const interrupts = new Interrupts();
  try {
    await buildProgram(interrupts.signal).parseAsync();
    return 0;
  } catch (error) {
    // commander has said already what is wrong; its help ends with code 0.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : USAGE;
    if (interrupts.exitCode !== null) {
      process.stderr.write(`${error instanceof FarmError ? error.detail : "interrupted"}\n`);
      return interrupts.exitCode;
    }
    process.stderr.write(`${explain(error)}\n`);
    return exitCodeOf(error);
  }
}

process.exitCode = await main();
