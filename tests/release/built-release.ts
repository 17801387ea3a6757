// The release as a user downloads it: built once when sources are newer than the last build, unpacked into a temporary directory for each test file.
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { type LocalCluster, localCluster } from "../../scripts/local-cluster.ts";
import { release } from "../../src/base/release.ts";

export const root = resolve(import.meta.dir, "../..");
const archive = join(root, `release/dist/rama-${release}-${process.platform}-${process.arch}.tar.gz`);

function newest(folder: string): number {
  const names = readdirSync(join(root, folder), { recursive: true }) as string[];
  return Math.max(...names.map((name) => statSync(join(root, folder, name)).mtimeMs));
}

function build(): void {
  const fresh =
    existsSync(archive) &&
    statSync(archive).mtimeMs > Math.max(...["src", "scripts", "examples", "release/files"].map(newest));
  if (fresh) return;
  const done = Bun.spawnSync([process.execPath, join(root, "scripts/build-release.ts")], { cwd: root });
  if (done.exitCode !== 0) throw new Error(`the release does not build:\n${done.stdout}${done.stderr}`);
}

/** Waits for what comes by itself. */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  timeoutMs = 60_000,
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`${what} did not come within ${timeoutMs} ms`);
    await Bun.sleep(50);
  }
}

export interface Unpacked extends AsyncDisposable {
  readonly home: string;
  readonly cluster: LocalCluster;
}

/** Ends the cluster and deletes the directory when it is disposed of. */
export function unpackedRelease(settings: Readonly<Record<string, unknown>> = {}): Unpacked {
  build();
  const home = mkdtempSync(join(tmpdir(), "rama-release-"));
  const done = Bun.spawnSync(["tar", "xzf", archive, "-C", home, "--strip-components", "1"]);
  if (done.exitCode !== 0) throw new Error(done.stderr.toString());
  const cluster = localCluster({ home, settings });
  return {
    home,
    cluster,
    async [Symbol.asyncDispose]() {
      await cluster.end();
      rmSync(home, { recursive: true, force: true });
    },
  };
}
