/** @file `renderfarm config show`: what is set, and by whom. */
import type { Command } from "commander";
import { addOutput, type OutputFlags, printList } from "./output.js";
import { type Environment, readSettings, type Setting, shownValue } from "./settings.js";

export interface ConfigFlags extends OutputFlags {
  readonly origin?: boolean;
}

export function addConfigVerbs(program: Command, env: Environment, cwd: string): void {
  const config = program.command("config").description("settings of this command line");
  addOutput(config.command("show").description("every setting that has a value"))
    .option("--origin", "with the variable or file that it comes from")
    .action((flags: ConfigFlags) => {
      const settings = [...readSettings(program, env, cwd).values()];
      const origin = { heading: "ORIGIN", cell: ({ origin: from }: Setting) => from };
      printList(
        settings
          .map((setting) => ({ ...setting, value: shownValue(setting) }))
          .sort((a, b) => a.name.localeCompare(b.name)),
        flags,
        {
          columns: [
            { heading: "SETTING", cell: ({ name }) => name },
            { heading: "VALUE", cell: ({ value }) => value },
            ...(flags.origin ? [origin] : []),
          ],
          name: ({ name }) => name,
        },
      );
    });
}
