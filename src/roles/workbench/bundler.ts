// Makes a deployable bundle: user code and its npm dependencies in one file, the `rama` package left out ("provided": the running release supplies it).
// The last line of a bundle is `// rama-bundle <release>`, by which it is told from a source and its release is known. (Not the first one: Bun honours the
// source map inside a file only while its own marker comes first.)
import { messageOf, RamaError } from "../../base/errors.ts";
import { release } from "../../base/release.ts";
import type { BundleResult } from "../../cli/workbench.ts";
import type { Disk } from "../../storage/disk.ts";

const marker = "// rama-bundle ";
const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** BAD_BUNDLE with file and line of what does not build; FILE_NOT_FOUND. */
export async function bundle(disk: Disk, path: string, libNames: readonly string[]): Promise<BundleResult> {
  if (!disk.exists(path)) throw new RamaError("FILE_NOT_FOUND", `there is no file ${path}`, { path });
  const fileName = path.slice(path.lastIndexOf("/") + 1);
  if (!/\.[cm]?[jt]sx?$/.test(fileName)) {
    throw new RamaError("BAD_BUNDLE", `${path} is neither a bundle nor a .ts or .js source`, { path });
  }
  const bytes = disk.readFile(path);
  const made = madeWith(bytes);
  if (made !== undefined) {
    checkRelease(path, made);
    return { bytes, ramaVersion: made, fileName };
  }
  const text = await build(path, libNames);
  return { bytes: encoder.encode(`${text.trimEnd()}\n${marker}${release}\n`), ramaVersion: release, fileName };
}

/** The release that a bundle was made with; undefined for a source. */
function madeWith(bytes: Uint8Array): string | undefined {
  const tail = decoder.decode(bytes.subarray(-200)).trimEnd();
  const line = tail.slice(tail.lastIndexOf("\n") + 1);
  return line.startsWith(marker) ? line.slice(marker.length) : undefined;
}

async function build(path: string, libNames: readonly string[]): Promise<string> {
  let result: Awaited<ReturnType<typeof Bun.build>>;
  try {
    result = await Bun.build({
      entrypoints: [path],
      external: ["rama", "rama/*", ...libNames],
      target: "bun",
      format: "esm",
      sourcemap: "inline",
    });
  } catch (error) {
    const logs = error instanceof AggregateError ? error.errors.map(describe).join("\n") : messageOf(error);
    throw new RamaError("BAD_BUNDLE", `${path} does not build:\n${logs}`, { path }, error);
  }
  if (!result.success || !result.outputs[0]) {
    throw new RamaError("BAD_BUNDLE", `${path} does not build:\n${result.logs.map(describe).join("\n")}`, { path });
  }
  return result.outputs[0].text();
}

function describe(log: unknown): string {
  const { message, position } = log as {
    message: string;
    position?: { file: string; line: number; column: number } | null;
  };
  return position ? `${position.file}:${position.line}:${position.column}: ${message}` : message;
}

function checkRelease(path: string, made: string): void {
  const [theirs, ours] = [made, release].map((version) => version.split(".").slice(0, 2).join("."));
  if (theirs === ours) return;
  throw new RamaError(
    "WRONG_VERSION",
    `${path} was made with rama ${made}, this is ${release}: bundle it again with this release`,
    { made, release },
  );
}
