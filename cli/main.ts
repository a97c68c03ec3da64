/** @file The command line: verbs, their flags, and how the process ends. */
import { Command, CommanderError } from "commander";
import { packageVersion } from "../shared/adapters/files/package-version.js";
import { FarmError } from "../shared/core/errors.js";
import { JOB_STATES } from "../shared/farm/job.js";
import { addCertVerbs } from "./certs.js";
import { addCompletionVerb } from "./completion.js";
import { addConfigVerbs } from "./config.js";
import { addConnection } from "./connection.js";
import { type DevFlags, dev } from "./dev.js";
import { addDoctorVerb } from "./doctor.js";
import { type DownloadFlags, download } from "./download.js";
import { exitCodeOf, explain } from "./failures.js";
import { addFarmFlags, type FarmFlags } from "./farm-flags.js";
import { Interrupts } from "./interrupts.js";
import { addJobOptions } from "./job-options.js";
import {
  change,
  gc,
  get,
  type JobFlags,
  type LinkFlags,
  type ListFlags,
  link,
  list,
  priority,
  type RetryFlags,
  remove,
  retry,
} from "./jobs.js";
import { addKeyVerbs } from "./keys.js";
import { logs } from "./logs.js";
import { drain, nodes, undrain, usage } from "./nodes.js";
import { addOutput } from "./output.js";
import { addRenderFlags, type RenderFlags } from "./render-flags.js";
import { run } from "./run.js";
import { addSettings } from "./settings.js";
import { type SubmitFlags, submit } from "./submit.js";
import { type VersionFlags, version } from "./version.js";
import { addVoice, isVerbose } from "./voice.js";
import { addWaitLimit } from "./wait-limit.js";
import { type WatchFlags, watch } from "./watch.js";

const EXAMPLES = `Examples:
  renderfarm run photo.jpg --checkpoint checkpoints/demo --out clip.mp4
  renderfarm run a.jpg b.jpg --checkpoint checkpoints/demo --out clips --format mp4,gif
  renderfarm dev --checkpoint checkpoints/demo
  renderfarm submit photo.jpg --out clip.mp4
`;

const EXIT_CODES = `
Exit codes: 0 done, 1 the job failed, 2 bad flags or files, 3 the farm cannot be reached,
4 refused, 5 cancelled, 124 waited long enough, 130 interrupted.`;

function buildProgram(signal: AbortSignal): Command {
  const program = new Command("renderfarm")
    .description("Renders Stable Video Diffusion on many machines.")
    .version(packageVersion())
    .addHelpText("beforeAll", EXAMPLES)
    .addHelpText("after", EXIT_CODES)
    .showSuggestionAfterError()
    .configureHelp({ showGlobalOptions: true })
    .exitOverride();

  const runCommand = program
    .command("run [image...]")
    .description("start a farm on this machine, render, stop it; a picture may be - for stdin");
  addFarmFlags(addRenderFlags(runCommand)).action(
    (images: string[], flags: RenderFlags & FarmFlags) => run(images, flags, signal),
  );

  addFarmFlags(program.command("dev").description("keep a farm up on this machine"))
    .option("--port <n>", "where the coordinator listens (default: 7433)")
    .option("--http-port <n>", "where the console is (default: 7434)")
    .action((flags: DevFlags) => dev(flags, signal));

  const submitCommand = program
    .command("submit [image...]")
    .description("send a job to a farm, wait, fetch the files; a picture may be - for stdin");
  addWaitLimit(addConnection(addJobOptions(addRenderFlags(submitCommand))))
    .option("--model <name>", "a checkpoint of the farm, by name or digest")
    .option("--dry-run", "print what would become of the job, and send nothing")
    .option("--request-id <id>", "the same id never makes a second job (default: a new one)")
    .option("--detach", "print the job's id and do not wait")
    .action((images: string[], flags: SubmitFlags) => submit(images, flags, signal));

  addWaitLimit(
    addConnection(program.command("watch <job>").description("wait for a job, fetch its files")),
  )
    .option("-o, --out <path>", "a file, a folder, or - for stdout")
    .option("--json", "one JSON object on stdout in place of the paths")
    .action((job: string, flags: WatchFlags) => watch(job, flags, signal));

  addConnection(
    program.command("download <job>").description("fetch the files of a job that has ended"),
  )
    .option(
      "-o, --out <path>",
      "a file, a folder, or - for stdout; what is there is not fetched again",
    )
    .option("--clip <n>", "only this clip, from 1; it may be one of a job that goes on")
    .option("--format <list>", "only these of its formats: mp4,gif")
    .option("--json", "one JSON object on stdout in place of the paths")
    .action((job: string, flags: DownloadFlags) => download(job, flags, signal));

  addJobVerbs(program);
  addNodeVerbs(program);
  addCertVerbs(program);
  addKeyVerbs(program);
  addConfigVerbs(program, process.env, process.cwd());
  addCompletionVerb(program);
  addDoctorVerb(program);
  addOutput(addConnection(program.command("version").description("what runs here")))
    .option("--server", "and the version of the farm's coordinator")
    .action((flags: VersionFlags) => version(flags));
  addSettings(program, process.env, process.cwd());
  addVoice(program);
  return program;
}

function addJobVerbs(program: Command): void {
  const verb = (name: string, description: string) =>
    addOutput(addConnection(program.command(name).description(description)));

  verb("list", "jobs, the newest first")
    .option("--state <states>", `only those: ${JOB_STATES.join(", ")}`)
    .option("-l, --selector <labels>", "only those with all of these labels: shot=12a,team")
    .option("--limit <n>", "at most this many (default: 50)")
    .action((flags: ListFlags) => list(flags));
  verb("get <job>", "one job and its clips").action((job: string, flags: JobFlags) =>
    get(job, flags),
  );
  verb("logs <job>", "what became of a job: every try, node, failure and time").action(
    (job: string, flags: JobFlags) => logs(job, flags),
  );
  verb("link <job>", "a URL of a finished file, good for five minutes, where the store gives any")
    .requiredOption("--file <name>", "the file, e.g. clip.mp4")
    .option("--clip <n>", "of this clip, from 1 (default: 1)")
    .action((job: string, flags: LinkFlags) => link(job, flags));
  verb("cancel <job>", "cancel a job").action((job: string, flags: JobFlags) =>
    change("cancelJob", job, flags),
  );
  verb("pause <job>", "start nothing new of a job; what is denoised is kept").action(
    (job: string, flags: JobFlags) => change("pauseJob", job, flags),
  );
  verb("resume <job>", "let a paused job go on").action((job: string, flags: JobFlags) =>
    change("resumeJob", job, flags),
  );
  verb("retry <job>", "do again what failed, expired or was cancelled")
    .option("--clip <n>", "only this clip, from 1")
    .option("--chunk <n>", "only this decode chunk of the clip, from 1, whatever became of it")
    .option("--deadline <time>", "its deadline from now on (default: one that has passed is gone)")
    .action((job: string, flags: RetryFlags) => retry(job, flags));
  verb("priority <job> <priority>", "move a job in the queue, 0..100").action(
    (job: string, value: string, flags: JobFlags) => priority(job, value, flags),
  );
  verb("gc", "remove what no job owns any more from the blob store")
    .option("--dry-run", "count, and remove nothing")
    .action((flags: JobFlags & { dryRun?: boolean }) => gc(flags));
  verb("delete <job>", "forget a job that has ended, with its files").action(
    (job: string, flags: JobFlags) => remove(job, flags),
  );
}

function addNodeVerbs(program: Command): void {
  const verb = (name: string, description: string) =>
    addOutput(addConnection(program.command(name).description(description)));

  verb("nodes", "the farm's nodes").action((flags: JobFlags) => nodes(flags));
  verb("usage", "seconds that nodes were held, by owner and by stage").action((flags: JobFlags) =>
    usage(flags),
  );
  verb("drain <node>", "no new work for a node").action((node: string, flags: JobFlags) =>
    drain(node, flags),
  );
  verb("undrain <node>", "let a node work again").action((node: string, flags: JobFlags) =>
    undrain(node, flags),
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
    process.stderr.write(`${explain(error, isVerbose())}\n`);
    return exitCodeOf(error);
  }
}

/** As a shell has it of a program that was ended by SIGPIPE. */
const READER_GONE = 141;

// `renderfarm list | head -1` is no mistake: what is not read is not written.
let isReaderGone = false;
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
  isReaderGone = true;
});

const exitCode = await main();
process.exitCode = exitCode === 0 && isReaderGone ? READER_GONE : exitCode;
