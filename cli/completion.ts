/** @file `renderfarm completion`: a script that completes verbs and flags in a shell. */
import type { Command } from "commander";
import { refuseViolations } from "../shared/core/errors.js";

const SHELLS = ["bash", "zsh", "fish"] as const;

interface Verb {
  readonly name: string;
  readonly description: string;
  /** Words that follow it: "show" of "config". */
  readonly words: readonly string[];
  /** Its own, those of its words, and those of every command. */
  readonly flags: readonly { readonly name: string; readonly description: string }[];
}

export function addCompletionVerb(program: Command): void {
  program
    .command("completion <shell>")
    .description("a script for bash, zsh or fish: source <(renderfarm completion bash)")
    .action((shell: string) => {
      process.stdout.write(completionScript(program, shell));
    });
}

/** @throws FarmError "invalid-argument" for a shell that it does not know */
export function completionScript(program: Command, shell: string): string {
  const verbs = verbsOf(program);
  switch (SHELLS.find((known) => known === shell)) {
    case "bash":
      return bashScript(verbs);
    case "zsh":
      // zsh runs bash's completions as they are.
      return `autoload -U +X bashcompinit && bashcompinit\n${bashScript(verbs)}`;
    case "fish":
      return fishScript(verbs);
    default: {
      const description = `'${shell.slice(0, 40)}' is unknown; legal are ${SHELLS.join(", ")}`;
      refuseViolations([{ field: "SHELL", description }]);
      return "";
    }
  }
}

function verbsOf(program: Command): Verb[] {
  return program.commands
    .map((command) => ({
      name: command.name(),
      description: command.description(),
      words: command.commands.map((each) => each.name()),
      flags: [command, ...command.commands, program]
        .flatMap((each) => each.options)
        .map(({ long, description }) => ({ name: long ?? "", description }))
        .filter((flag) => flag.name !== "--version"),
    }))
    .sort((a, b) => a.name.localeCompare(b.name));
}

function bashScript(verbs: readonly Verb[]): string {
  const cases = verbs.map(
    ({ name, words, flags }) =>
      `    ${name}) flags="${flags.map((flag) => flag.name).join(" ")}" words="${words.join(" ")}" ;;`,
  );
  const names = verbs.map(({ name }) => name).join(" ");
  return `_renderfarm() {
  local current="\${COMP_WORDS[COMP_CWORD]}" flags="" words=""
  case "\${COMP_WORDS[1]}" in
${cases.join("\n")}
  esac
  if [ "$COMP_CWORD" -eq 1 ]; then words="${names}"; flags="--help --version"; fi
  case "$current" in
    -*) COMPREPLY=($(compgen -W "$flags" -- "$current")) ;;
    *)
      if [ "$COMP_CWORD" -le 2 ] && [ -n "$words" ]; then COMPREPLY=($(compgen -W "$words" -- "$current"))
      else COMPREPLY=($(compgen -f -- "$current")); fi ;;
  esac
}
complete -o filenames -F _renderfarm renderfarm
`;
}

function fishScript(verbs: readonly Verb[]): string {
  const quoted = (text: string) => `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
  const lines = verbs.flatMap(({ name, description, words, flags }) => [
    `complete -c renderfarm -n __fish_use_subcommand -a ${name} -d ${quoted(description)}`,
    ...words.map(
      (word) => `complete -c renderfarm -n '__fish_seen_subcommand_from ${name}' -a ${word}`,
    ),
    ...flags.map(
      (flag) =>
        `complete -c renderfarm -n '__fish_seen_subcommand_from ${name}' -l ${flag.name.replace(/^--/, "")} -d ${quoted(flag.description)}`,
    ),
  ]);
  return `${lines.join("\n")}\n`;
}
