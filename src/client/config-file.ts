// rama.yaml of a client: the file in the working directory, or the one that RAMA_YAML names. The client library runs in programs of their own, so it looks for the
// file itself; roles and CLI read theirs through their Disk.
import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { Config, parseConfig } from "../config/rama-yaml.ts";

/** Empty when there is no such file. BAD_CONFIG with file, line and setting. */
export function readClientConfig(): Config {
  const file = resolve(process.env["RAMA_YAML"] ?? "rama.yaml");
  return existsSync(file) ? parseConfig(readFileSync(file, "utf8"), file) : new Config(new Map());
}
