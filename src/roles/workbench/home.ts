// Where the release is: the directory of the compiled executable, or the checkout when run from source. RAMA_HOME names another one.
import { existsSync } from "node:fs";
import { dirname, resolve } from "node:path";

/** True inside the compiled executable, whose own files live in a virtual file system. */
export const compiled = import.meta.dir.startsWith("/$bunfs") || import.meta.dir.startsWith("B:\\~BUN");

export function homeDir(): string {
  const given = process.env["RAMA_HOME"];
  if (given) return resolve(given);
  if (compiled) return dirname(process.execPath);
  return resolve(import.meta.dir, "../../..");
}

/** rama.yaml of the release; where it has none, the one in the working directory. */
export function configPath(home: string): string {
  const own = `${home}/rama.yaml`;
  const here = resolve("rama.yaml");
  return !existsSync(own) && existsSync(here) ? here : own;
}

/** How to start this program again: the executable itself, or Bun with main.ts. */
export function selfCommand(): string[] {
  return compiled ? [process.execPath] : [process.execPath, resolve(import.meta.dir, "../../main.ts")];
}
