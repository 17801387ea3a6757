// explain: what a module's code becomes, in plain words and as a picture.
import { RamaError } from "../../base/errors.ts";
import { planDiagram } from "../../dataflow/explain/diagram.ts";
import { explainModule } from "../../dataflow/explain/outline.ts";
import { planWords } from "../../dataflow/explain/words.ts";
import { type Command, textOption } from "../command.ts";
import type { BundleResult, Workbench } from "../workbench.ts";
import { absolute } from "./modules.ts";

const encoder = new TextEncoder();

export const explain: Command = {
  name: "explain",
  group: "Development",
  summary: "Show the plan of each topology: stages, moves, variables carried, reads and writes, transactions.",
  description:
    "Prints the plan in plain words and draws it as an SVG file: each stage is the code between two moves or waits, with the line of the builder's call beside each\n" +
    "step; a dashed frame is one transaction. Nothing is deployed, no cluster is needed.",
  positionals: [{ name: "source", help: "A .ts or .js file that exports module classes, or a bundle." }],
  options: [
    { name: "module", value: "name", help: "One of the modules of the file; all of them when left out." },
    {
      name: "out",
      short: "o",
      value: "file",
      help: "Where to draw it; <source name>.svg in the current directory when left out.",
    },
  ],
  data: true,
  example: "rama explain src/app.ts -o plan.svg",
  async run({ parsed, print, workbench, cwd, platform }) {
    const source = absolute(cwd, parsed.positionals[0]!);
    const made = await workbench.bundle(source);
    const modules = await modulesOf(workbench, made, textOption(parsed, "module"));
    const plans = modules.map(({ definition }) => explainModule(definition));
    if (parsed.json) print.json(plans);
    else print.out(plans.map(planWords).join("\n\n\n"));
    const named = textOption(parsed, "out");
    // Who wants the data wants no file besides, unless it is asked for.
    if (parsed.json && named === undefined) return 0;
    const out = absolute(cwd, named ?? made.fileName.replace(/(\.bundle)?\.[cm]?[jt]sx?$/, ".svg"));
    platform.disk.mkdir(out.slice(0, out.lastIndexOf("/")));
    platform.disk.writeFile(out, encoder.encode(planDiagram(plans)));
    print.note(`drawn in ${out}`);
    return 0;
  },
};

async function modulesOf(workbench: Workbench, made: BundleResult, name: string | undefined) {
  try {
    return [(await workbench.loadModule(made, name)).module];
  } catch (error) {
    const candidates = error instanceof RamaError ? (error.facts["candidates"] as string[] | undefined) : undefined;
    if (name !== undefined || candidates === undefined || candidates.length === 0) throw error;
    const loaded = [];
    for (const each of candidates) loaded.push((await workbench.loadModule(made, each)).module);
    return loaded;
  }
}
