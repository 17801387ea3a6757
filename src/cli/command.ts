// What a command is: one row of the table in `commands.ts`. Parsing, `--help`, shell completion and docs/cli.md come from the row. Arguments are parsed by
// `util.parseArgs` of Node, which Bun has too.
import { parseArgs } from "node:util";
import type { Env } from "../base/env.ts";
import { messageOf, RamaError } from "../base/errors.ts";
import { parseJson } from "../base/json.ts";
import type { Config } from "../config/rama-yaml.ts";
import type { Platform } from "../net/platform.ts";
import type { Print } from "./print.ts";
import type { Workbench } from "./workbench.ts";

export interface CommandOption {
  readonly name: string;
  /** One letter that stands for it. */
  readonly short?: string;
  /** Placeholder of its value; absent for a switch. */
  readonly value?: string;
  readonly help: string;
  readonly required?: boolean;
}

export interface CommandPositional {
  readonly name: string;
  readonly help: string;
  readonly optional?: boolean;
  /** Takes all that follows. */
  readonly rest?: boolean;
}

export interface Parsed {
  readonly positionals: readonly string[];
  readonly options: Readonly<Record<string, string | boolean | undefined>>;
  readonly json: boolean;
}

export interface CommandContext {
  readonly parsed: Parsed;
  readonly print: Print;
  readonly platform: Platform;
  readonly env: Env;
  /** rama.yaml of the release, or empty where there is none. */
  readonly config: Config;
  readonly configPath: string;
  /** Directory of the unpacked release (or of the checkout). */
  readonly home: string;
  /** Current directory, for relative paths. */
  readonly cwd: string;
  readonly release: string;
  /** What only the executable itself can do: daemons, bundling, loading modules. */
  readonly workbench: Workbench;
}

export interface Command {
  readonly name: string;
  readonly group: "Daemons" | "Modules" | "Cluster" | "Data" | "Development" | "Release";
  readonly summary: string;
  readonly description?: string;
  readonly positionals: readonly CommandPositional[];
  readonly options: readonly CommandOption[];
  /** Prints data: takes --json. */
  readonly data?: boolean;
  readonly example: string;
  /** Where they are not those of all commands. */
  readonly exitCodes?: string;
  /** Not in `rama help` (names of the original that only point elsewhere, internal roles). */
  readonly hidden?: boolean;
  /** Resolves to the exit code: 0 done, 1 the cluster or the data said no, 2 wrong arguments or settings, 3 nobody reachable. */
  run(context: CommandContext): Promise<number>;
}

/** BAD_ARGUMENTS that names what is wrong and shows the usage. */
export function parseCommand(command: Command, argv: readonly string[]): Parsed {
  const rest = command.positionals.at(-1)?.rest ? command.positionals.length - 1 : -1;
  let parsed: { values: Record<string, string | boolean | undefined>; positionals: string[] };
  try {
    parsed = parseArgs({
      args: rest < 0 ? [...argv] : headOf(command, argv),
      options: {
        ...Object.fromEntries(
          command.options.map((o) => [
            o.name,
            {
              type: o.value === undefined ? ("boolean" as const) : ("string" as const),
              ...(o.short === undefined ? {} : { short: o.short }),
            },
          ]),
        ),
        ...(command.data ? { json: { type: "boolean" as const } } : {}),
      },
      allowPositionals: true,
      strict: true,
    }) as typeof parsed;
  } catch (error) {
    throw new RamaError(
      "BAD_ARGUMENTS",
      `${(error as Error).message}\nusage: ${usageOf(command)}`,
      { command: command.name },
      error,
    );
  }
  const positionals =
    rest < 0 ? parsed.positionals : [...parsed.positionals, ...argv.slice(headOf(command, argv).length)];
  const needed = command.positionals.filter((p) => !p.optional && !p.rest);
  if (positionals.length < needed.length) {
    throw new RamaError("BAD_ARGUMENTS", `missing <${needed[positionals.length]!.name}>\nusage: ${usageOf(command)}`, {
      command: command.name,
    });
  }
  if (rest < 0 && positionals.length > command.positionals.length) {
    const extra = positionals[command.positionals.length];
    const last = command.positionals.at(-1);
    const before = last === undefined ? "" : ` after <${last.name}> (${last.help})`;
    throw new RamaError("BAD_ARGUMENTS", `unexpected argument "${extra}"${before}\nusage: ${usageOf(command)}`, {
      command: command.name,
    });
  }
  for (const option of command.options) {
    if (option.required && parsed.values[option.name] === undefined) {
      throw new RamaError("BAD_ARGUMENTS", `missing --${option.name}\nusage: ${usageOf(command)}`, {
        command: command.name,
      });
    }
  }
  return { positionals, options: parsed.values, json: parsed.values["json"] === true };
}

/** Arguments up to and including the last positional before `rest`: what follows belongs to the program that is run. */
function headOf(command: Command, argv: readonly string[]): string[] {
  let wanted = command.positionals.length - 1;
  for (let i = 0; i < argv.length; i++) {
    const arg = argv[i]!;
    if (arg.startsWith("--")) {
      const option = command.options.find((o) => o.name === arg.slice(2));
      if (option?.value !== undefined) i++;
      continue;
    }
    wanted--;
    if (wanted === 0) return argv.slice(0, i + 1);
  }
  return [...argv];
}

export function usageOf(command: Command): string {
  const positionals = command.positionals.map((p) =>
    p.rest ? `[${p.name}…]` : p.optional ? `[${p.name}]` : `<${p.name}>`,
  );
  const options = command.options.map((o) => {
    const text = o.value === undefined ? `--${o.name}` : `--${o.name} <${o.value}>`;
    return o.required ? text : `[${text}]`;
  });
  return ["rama", command.name, ...positionals, ...options, ...(command.data ? ["[--json]"] : [])].join(" ");
}

export function numberOption(parsed: Parsed, name: string, fallback: number): number {
  const text = parsed.options[name];
  if (text === undefined) return fallback;
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0)
    throw new RamaError("BAD_ARGUMENTS", `--${name} must be a whole number, got "${text}"`, { name });
  return value;
}

/** BAD_ARGUMENTS with where in the text. */
export function jsonArgument(text: string, what: string): unknown {
  try {
    return parseJson(text);
  } catch (error) {
    throw new RamaError("BAD_ARGUMENTS", `${what}: ${messageOf(error)}`, {}, error);
  }
}

export function textOption(parsed: Parsed, name: string): string | undefined {
  const value = parsed.options[name];
  return typeof value === "string" ? value : undefined;
}
