// Builds the release: release/dist/rama-<version>-<os>-<arch>.tar.gz for this machine, or for the targets named.
//   npm run release [-- --target linux-x64 --target darwin-arm64 … | -- --all] [--out another/dist]
//
// Steps: (1) the files that lie around the executable, in release/dist/files: rama.yaml from the table of settings, log4j2.properties, README, examples, lib/rama
// (declarations by tsc, the client compiled for Node by Bun); (2) per target one executable that carries those files, LevelDB's addon and the engine thread's
// entry; (3) the tarball. Foreign runtimes come from the npm registry as packages (@oven/bun-…).
import { chmodSync, cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { release } from "../src/base/release.ts";
import { shippedYaml } from "../src/roles/workbench/release-files.ts";
import { buildPackage } from "./build-package.ts";
import { withoutNativeCbor } from "./without-native-cbor.ts";

const root = resolve(import.meta.dir, "..");
const { values } = parseArgs({
  options: { target: { type: "string", multiple: true }, all: { type: "boolean" }, out: { type: "string" } },
  strict: true,
});
/** Two builds at once need two of them. */
const dist = resolve(values.out ?? join(root, "release/dist"));
const files = join(dist, "files");

interface Target {
  readonly name: string;
  readonly bun: string;
  readonly runtimePackage: string;
  readonly addon: string;
}

const targets: readonly Target[] = [
  {
    name: "linux-x64",
    bun: "bun-linux-x64",
    runtimePackage: "@oven/bun-linux-x64",
    addon: "linux-x64/classic-level.node",
  },
  {
    name: "linux-arm64",
    bun: "bun-linux-arm64",
    runtimePackage: "@oven/bun-linux-aarch64",
    addon: "linux-arm64/classic-level.armv8.node",
  },
  {
    name: "darwin-x64",
    bun: "bun-darwin-x64",
    runtimePackage: "@oven/bun-darwin-x64",
    addon: "darwin-x64+arm64/classic-level.node",
  },
  {
    name: "darwin-arm64",
    bun: "bun-darwin-arm64",
    runtimePackage: "@oven/bun-darwin-aarch64",
    addon: "darwin-x64+arm64/classic-level.node",
  },
];

function ownTarget(): string {
  return `${process.platform}-${process.arch}`;
}

async function run(command: string[], cwd = root): Promise<void> {
  const child = Bun.spawn(command, { cwd, stdout: "pipe", stderr: "pipe" });
  const [out, err, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (code !== 0) throw new Error(`${command.join(" ")} ended with ${code}\n${out}${err}`);
}

/** What a release holds beside the executable. */
async function layOutFiles(): Promise<void> {
  rmSync(files, { recursive: true, force: true });
  mkdirSync(files, { recursive: true });
  cpSync(join(root, "release/files"), files, { recursive: true });
  writeFileSync(join(files, "rama.yaml"), shippedYaml());
  cpSync(join(root, "examples"), join(files, "examples"), {
    recursive: true,
    filter: (path) => !/node_modules|\.test\.ts$/.test(path),
  });
  await buildPackage(root, join(files, "lib/rama"));
}

/** The runtime of another platform, out of its npm package; undefined for the one that runs this. */
async function runtimeOf(target: Target): Promise<string | undefined> {
  if (target.name === ownTarget()) return undefined;
  const cache = join(dist, "runtimes", target.name);
  const binary = join(cache, "package/bin/bun");
  if (!existsSync(binary)) {
    mkdirSync(cache, { recursive: true });
    await run(["npm", "pack", "--silent", `${target.runtimePackage}@${Bun.version}`], cache);
    const archive = readdirSync(cache).find((name) => name.endsWith(".tgz"));
    if (archive === undefined) throw new Error(`npm pack of ${target.runtimePackage} left no archive`);
    await run(["tar", "xzf", archive], cache);
  }
  return binary;
}

async function compile(target: Target, outfile: string): Promise<void> {
  const runtime = await runtimeOf(target);
  const addon = join(root, "node_modules/classic-level/prebuilds", target.addon);
  if (!existsSync(addon)) throw new Error(`LevelDB's addon for ${target.name} is not there: ${addon}`);
  const result = await Bun.build({
    entrypoints: [join(root, "src/main.ts"), join(root, "src/engine-main.ts")],
    root: join(root, "src"),
    // Names stay: class names are module names, and function names stand in messages.
    minify: { whitespace: true, syntax: true, identifiers: false, keepNames: true },
    bytecode: target.name === ownTarget(),
    format: "esm",
    sourcemap: "linked",
    compile: {
      target: target.bun as Bun.Build.CompileTarget,
      outfile,
      ...(runtime === undefined ? {} : { executablePath: runtime }),
      autoloadDotenv: false,
      autoloadBunfig: false,
      autoloadPackageJson: true,
      assets: [files],
    } as unknown as Bun.CompileBuildOptions,
    plugins: [
      withoutNativeCbor,
      {
        name: "native addon",
        setup(build) {
          build.onLoad({ filter: /classic-level[\\/]binding\.js$/ }, () => ({
            loader: "js",
            contents: `module.exports = require(${JSON.stringify(addon)})`,
          }));
        },
      },
    ],
  });
  if (!result.success) throw new Error(`${target.name} does not build:\n${result.logs.join("\n")}`);
}

async function buildTarget(target: Target): Promise<string> {
  const name = `rama-${release}-${target.name}`;
  const stage = join(dist, name);
  rmSync(stage, { recursive: true, force: true });
  mkdirSync(join(stage, "logs"), { recursive: true });
  cpSync(files, stage, { recursive: true });
  const executable = join(stage, "rama");
  await compile(target, executable);
  chmodSync(executable, 0o755);
  for (const name of readdirSync(stage)) if (name.endsWith(".map")) rmSync(join(stage, name));
  const archive = join(dist, `${name}.tar.gz`);
  await run(["tar", "czf", archive, "-C", dist, name]);
  return archive;
}

async function buildAll(): Promise<void> {
  const wanted = values.all ? targets.map((target) => target.name) : (values.target ?? [ownTarget()]);
  const unknown = wanted.find((name) => !targets.some((target) => target.name === name));
  if (unknown !== undefined)
    throw new Error(`unknown target ${unknown}; there are ${targets.map((t) => t.name).join(", ")}`);
  await layOutFiles();
  for (const target of targets.filter(({ name }) => wanted.includes(name))) {
    const started = performance.now();
    const archive = await buildTarget(target);
    const bytes = readFileSync(archive).length;
    console.log(`${archive}  ${(bytes / 1e6).toFixed(1)} MB  ${((performance.now() - started) / 1000).toFixed(1)} s`);
  }
}

try {
  await buildAll();
} catch (error) {
  console.error((error as Error).message);
  process.exit(1);
}
