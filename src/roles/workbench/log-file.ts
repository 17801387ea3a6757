// Where a daemon's log goes: the terminal, and logs/<role>.log, which rolls. Level and rolling settings come from log4j2.properties of the release as far as they
// mean something here; the rest of that file is ignored.
import { appendFileSync, existsSync, mkdirSync, readFileSync, renameSync, statSync } from "node:fs";
import type { LogLevel } from "../../base/env.ts";
import type { Print } from "../../cli/print.ts";
import type { Config } from "../../config/rama-yaml.ts";

export interface LogSettings {
  readonly level: LogLevel | undefined;
  readonly maxBytes: number;
  readonly keep: number;
}

const units: Readonly<Record<string, number>> = { "": 1, KB: 1024, MB: 1024 ** 2, GB: 1024 ** 3 };
const levels: readonly string[] = ["debug", "info", "warn", "error"];

/** Knows rootLogger.level, …policies.size.size and …strategy.max. */
export function parseLog4j(text: string): LogSettings {
  const values = new Map(
    text
      .split("\n")
      .map((line) => /^\s*([^#!\s=]+)\s*=\s*(.*?)\s*$/.exec(line))
      .flatMap((match) => (match ? [[match[1]!, match[2]!] as const] : [])),
  );
  const level = (values.get("rootLogger.level") ?? "")
    .toLowerCase()
    .replace("trace", "debug")
    .replace("fatal", "error");
  const ending = (suffix: string) => [...values].find(([name]) => name.endsWith(suffix))?.[1];
  const size = /^(\d+)\s*([KMG]B)?$/i.exec(ending("policies.size.size") ?? "");
  return {
    level: levels.includes(level) ? (level as LogLevel) : undefined,
    maxBytes: size ? Number(size[1]) * units[(size[2] ?? "").toUpperCase()]! : 100 * 1024 ** 2,
    keep: Number(ending("strategy.max") ?? 10) || 10,
  };
}

export function logSink(
  home: string,
  name: string,
  config: Config,
  print: Print,
): { level: LogLevel; write: (line: string) => void } {
  const path = `${home}/log4j2.properties`;
  const settings = parseLog4j(existsSync(path) ? readFileSync(path, "utf8") : "");
  const level = config.get<LogLevel | undefined>("log.level") ?? settings.level ?? "info";
  // A worker's output is redirected to a file of its own by its supervisor.
  if (name === "worker") return { level, write: (line) => print.note(line) };
  const file = `${home}/logs/${name}.log`;
  let usable = true;
  try {
    mkdirSync(`${home}/logs`, { recursive: true });
  } catch {
    usable = false;
  }
  return {
    level,
    write(line) {
      print.note(line);
      if (!usable) return;
      try {
        roll(file, settings);
        appendFileSync(file, `${line}\n`);
      } catch (error) {
        usable = false;
        print.note(
          `the log file cannot be written, only the terminal is used from here on: ${(error as Error).message}`,
        );
      }
    },
  };
}

function roll(file: string, { maxBytes, keep }: LogSettings): void {
  if (!existsSync(file) || statSync(file).size < maxBytes) return;
  for (let n = keep - 1; n >= 1; n--) if (existsSync(`${file}.${n}`)) renameSync(`${file}.${n}`, `${file}.${n + 1}`);
  renameSync(file, `${file}.1`);
}
