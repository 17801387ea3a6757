// The files of a release that lie around the executable. Made by `scripts/build-release.ts`: embedded in the executable (so that `rama unpack` needs
// nothing else) and put into the tarball. From source they are read out of `release/` and `examples/`.
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, resolve } from "node:path";
import { renderDefaultYaml } from "../../config/rama-yaml.ts";
import { compiled } from "./home.ts";

/** Where the build put the files inside the executable (`--asset`). */
function embeddedDir(): string {
  return compiled ? join(import.meta.dir, "files") : resolve(import.meta.dir, "../../../release/dist/files");
}

export function releaseFiles(): string[] {
  const dir = embeddedDir();
  if (!existsSync(dir)) return [];
  return (readdirSync(dir, { recursive: true }) as string[])
    .filter((name) => statSync(join(dir, name)).isFile())
    .sort();
}

/** rama.yaml as it is shipped: the three daemons start with it on one node. */
export function shippedYaml(): string {
  return renderDefaultYaml({ "zookeeper.servers": ["localhost"], "conductor.host": "localhost" });
}

/** Writes the release into `dir`; files that are there already (a rama.yaml that was edited) stay. Returns the names written. */
export function unpackRelease(dir: string): string[] {
  const source = embeddedDir();
  const written: string[] = [];
  mkdirSync(join(dir, "logs"), { recursive: true });
  mkdirSync(join(dir, "lib"), { recursive: true });
  for (const name of releaseFiles()) {
    const target = join(dir, name);
    if (existsSync(target)) continue;
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(target, readFileSync(join(source, name)));
    written.push(name);
  }
  const executable = join(dir, "rama");
  if (compiled && !existsSync(executable)) {
    copyFileSync(process.execPath, executable);
    chmodSync(executable, 0o755);
    written.push("rama");
  }
  return written;
}

/** One shipped file's text, for templates. */
export function releaseFile(name: string): string {
  return readFileSync(join(embeddedDir(), name), "utf8");
}
