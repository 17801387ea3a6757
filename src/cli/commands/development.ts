// bundle, run, init, dev, and the original's runJava and runClj.
import { RamaError } from "../../base/errors.ts";
import { type Command, textOption } from "../command.ts";
import { absolute } from "./modules.ts";

const encoder = new TextEncoder();

export const bundle: Command = {
  name: "bundle",
  group: "Development",
  summary: "Make one deployable file out of a module and its npm dependencies.",
  positionals: [{ name: "source", help: "A .ts or .js file that exports module classes." }],
  options: [
    {
      name: "out",
      short: "o",
      value: "file",
      help: "Where to write it; <source name>.bundle.js beside the source when left out.",
    },
  ],
  example: "rama bundle src/app.ts -o target/my-application.js",
  async run({ parsed, print, workbench, cwd, platform }) {
    const source = absolute(cwd, parsed.positionals[0]!);
    const out = absolute(cwd, textOption(parsed, "out") ?? source.replace(/\.[cm]?[jt]s$/, ".bundle.js"));
    const made = await workbench.bundle(source);
    await workbench.loadModule(made, undefined).catch((error: unknown) => {
      // Several modules in one bundle are fine here: `deploy` names one.
      if (!(error instanceof RamaError) || error.facts["candidates"] === undefined) throw error;
    });
    platform.disk.mkdir(out.slice(0, out.lastIndexOf("/")));
    platform.disk.writeFile(out, made.bytes);
    print.out(`${out} (${made.bytes.length.toLocaleString("en-US")} bytes)`);
    return 0;
  },
};

export const run: Command = {
  name: "run",
  group: "Development",
  summary: "Run a program with this release's `rama` importable.",
  positionals: [
    { name: "file", help: "A .ts or .js file." },
    { name: "args", help: "Its arguments.", optional: true, rest: true },
  ],
  options: [],
  example: "rama run examples/append-and-read.ts",
  exitCodes: "Exit code: that of the program; 1 when it throws, or when there is no such file.",
  run: ({ parsed, workbench, cwd }) =>
    workbench.run(absolute(cwd, parsed.positionals[0]!), parsed.positionals.slice(1)),
};

export const init: Command = {
  name: "init",
  group: "Development",
  summary: "Write a small project: a module, a test, tsconfig and package.json.",
  positionals: [{ name: "dir", help: "Directory of the project; must be missing or empty." }],
  options: [],
  example: "rama init my-app",
  async run({ parsed, print, workbench, cwd, platform }) {
    const dir = absolute(cwd, parsed.positionals[0]!);
    if (platform.disk.list(dir).length > 0) throw new RamaError("BAD_ARGUMENTS", `${dir} is not empty`, { dir });
    const name = dir.slice(dir.lastIndexOf("/") + 1);
    const files = workbench.projectTemplate(name);
    for (const [path, text] of Object.entries(files)) {
      const file = `${dir}/${path}`;
      platform.disk.mkdir(file.slice(0, file.lastIndexOf("/")));
      platform.disk.writeFile(file, encoder.encode(text));
    }
    print.out(`${Object.keys(files).length} files in ${dir}`);
    print.note(`next: rama dev ${parsed.positionals[0]}/src/app.ts`);
    return 0;
  },
};

export const dev: Command = {
  name: "dev",
  group: "Development",
  summary: "Run devZookeeper, conductor, supervisor and a module in one terminal; redeploy on save.",
  positionals: [{ name: "module", help: "Source of the module.", optional: true }],
  options: [],
  example: "rama dev src/app.ts",
  run: ({ parsed, workbench, cwd }) =>
    workbench.dev(parsed.positionals[0] === undefined ? undefined : absolute(cwd, parsed.positionals[0])),
};

const elsewhere = (name: string): Command => ({
  name,
  group: "Development",
  summary: `Not here: use \`rama run <file.ts> [args…]\`.`,
  positionals: [{ name: "args", help: "", optional: true, rest: true }],
  options: [],
  example: "rama run program.ts",
  hidden: true,
  async run({ print }) {
    print.error(`${name} runs JVM programs; use \`rama run <file.ts> [args…]\` for a TypeScript or JavaScript one`);
    return 2;
  },
});

export const runJava = elsewhere("runJava");
export const runClj = elsewhere("runClj");
