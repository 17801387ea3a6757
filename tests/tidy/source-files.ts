// What the tidy tests read: the source files and their imports, as text.
import { readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";

export const root = resolve(import.meta.dir, "../..");

export interface SourceFile {
  /** Relative to the checkout, `src/base/env.ts`. */
  readonly path: string;
  readonly text: string;
  readonly lines: number;
  /** Relative to the checkout for files, as written for packages. */
  readonly imports: readonly string[];
}

export function sourceFiles(folder: string): SourceFile[] {
  return (readdirSync(join(root, folder), { recursive: true }) as string[])
    .map((name) => join(folder, name))
    .filter(
      (path) =>
        path.endsWith(".ts") &&
        !path.endsWith(".d.ts") &&
        !path.includes("node_modules") &&
        statSync(join(root, path)).isFile(),
    )
    .sort()
    .map(read);
}

function read(path: string): SourceFile {
  const text = readFileSync(join(root, path), "utf8");
  const specifiers = [
    ...text.matchAll(
      /(?:^|\n)\s*(?:import|export)\s[^;]*?from\s+"([^"]+)"|import\("([^"]+)"\)|(?:^|\n)import\s+"([^"]+)"/g,
    ),
  ].map((match) => (match[1] ?? match[2] ?? match[3])!);
  const imports = specifiers.map((specifier) =>
    specifier.startsWith(".") ? relative(root, resolve(dirname(join(root, path)), specifier)) : specifier,
  );
  return { path, text, lines: text.split("\n").length, imports };
}
