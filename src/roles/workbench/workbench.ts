// The real Workbench (cli/workbench.ts): what commands need of the executable.
import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";
import { RamaError } from "../../base/errors.ts";
import type { BundleResult, Workbench } from "../../cli/workbench.ts";
import { type Doors, exportedModules, installDoors, loadModule } from "../worker/module-loader.ts";
import { bundle } from "./bundler.ts";
import { type DaemonContext, runDaemon, runWorkerDaemon } from "./daemons.ts";
import { runDev } from "./dev.ts";
import { projectTemplate } from "./project-template.ts";
import { unpackRelease } from "./release-files.ts";
import { onInterrupt } from "./signals.ts";

export interface WorkbenchOptions {
  readonly context: DaemonContext;
  /** Loaded when first needed: the doors pull in the whole engine. */
  readonly doors: () => Promise<Doors>;
  readonly say: (line: string) => void;
}

export function createWorkbench({ context, doors, say }: WorkbenchOptions): Workbench {
  const { platform, home } = context;
  const libFiles = () =>
    platform.disk
      .list(`${home}/lib`)
      .filter((name) => name.endsWith(".js"))
      .map((name) => ({ name: name.slice(0, -".js".length), path: `${home}/lib/${name}` }));
  const workbench: Workbench = {
    daemon(role, args) {
      return role === "worker" ? runWorkerDaemon(args[0], context) : runDaemon(role, context);
    },
    dev: (modulePath) => runDev(context, workbench, modulePath, say),
    bundle: (path) =>
      bundle(
        platform.disk,
        path,
        libFiles().map((file) => file.name),
      ),
    async loadModule(made: BundleResult, moduleExport) {
      installDoors(await doors(), libFiles());
      const path = temporaryBundle(context, made);
      try {
        const name = moduleExport ?? (await onlyModule(path, made.fileName));
        const { module } = await loadModule({ bundlePath: path, moduleExport: name });
        return { module, moduleExport: name };
      } finally {
        platform.disk.remove(path);
      }
    },
    async run(path, args) {
      if (!platform.disk.exists(path)) throw new RamaError("FILE_NOT_FOUND", `there is no file ${path}`, { path });
      installDoors(await doors(), libFiles());
      process.argv.splice(1, process.argv.length - 1, path, ...args);
      const specifier = path;
      await import(specifier);
      return process.exitCode === undefined ? 0 : Number(process.exitCode);
    },
    async unpack(dir) {
      return unpackRelease(dir);
    },
    projectTemplate,
    onInterrupt,
    readStdin: () => process.stdin as AsyncIterable<Uint8Array>,
    readLines: (path) =>
      createInterface({
        input: path === "-" ? process.stdin : createReadStream(path),
        crlfDelay: Number.POSITIVE_INFINITY,
      }),
  };
  return workbench;
}

async function onlyModule(path: string, fileName: string): Promise<string> {
  const names = await exportedModules(path);
  if (names.length === 1) return names[0]!;
  const message =
    names.length === 0
      ? `${fileName} exports no class that extends RamaModule`
      : `${fileName} exports several modules (${names.join(", ")}): name one with --module`;
  throw new RamaError("BAD_BUNDLE", message, { fileName, candidates: names });
}

/** A bundle is imported from a file of its own name, so that each version is loaded anew. */
function temporaryBundle({ platform }: DaemonContext, made: BundleResult): string {
  const dir = process.env["TMPDIR"] ?? "/tmp";
  const name = [...platform.env.randomBytes(8)].map((b) => b.toString(16).padStart(2, "0")).join("");
  const path = `${dir}/rama-${process.pid}-${name}.js`;
  platform.disk.writeFile(path, made.bytes);
  return path;
}
