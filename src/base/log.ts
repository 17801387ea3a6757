// The form of a log line, shared by the real and the simulated environment:
//   2026-11-24T12:00:00.000Z INFO  component: message key=value key="value with blanks"
// Formatting never throws, whatever stands in the fields.
import type { Log, LogLevel } from "./env.ts";
import { RamaError } from "./errors.ts";

const order: Record<LogLevel, number> = { debug: 0, info: 1, warn: 2, error: 3 };
const labels: Record<LogLevel, string> = { debug: "DEBUG", info: "INFO ", warn: "WARN ", error: "ERROR" };

export interface LineLogOptions {
  readonly level: LogLevel;
  /** Epoch milliseconds. */
  readonly now: () => number;
  readonly sink: (line: string) => void;
}

/** A log that hands whole lines, without a line break, to a sink. */
export class LineLog implements Log {
  readonly #options: LineLogOptions;
  readonly #component: string;

  constructor(options: LineLogOptions, component = "rama") {
    this.#options = options;
    this.#component = component;
  }

  get level(): LogLevel {
    return this.#options.level;
  }

  debug(message: string, fields?: Record<string, unknown>): void {
    this.#line("debug", message, fields);
  }

  info(message: string, fields?: Record<string, unknown>): void {
    this.#line("info", message, fields);
  }

  warn(message: string, fields?: Record<string, unknown>): void {
    this.#line("warn", message, fields);
  }

  error(message: string, fields?: Record<string, unknown>): void {
    this.#line("error", message, fields);
  }

  child(name: string): Log {
    return new LineLog(this.#options, name);
  }

  #line(level: LogLevel, message: string, fields: Record<string, unknown> | undefined): void {
    if (order[level] < order[this.#options.level]) return;
    try {
      const time = new Date(this.#options.now()).toISOString();
      this.#options.sink(`${time} ${labels[level]} ${this.#component}: ${oneLine(message)}${formatFields(fields)}`);
    } catch {
      // A sink that fails (a full disk, a closed pipe) must not take its caller with it.
    }
  }
}

function oneLine(message: string): string {
  return message.includes("\n") ? message.replaceAll("\n", "\\n") : message;
}

function formatFields(fields: Record<string, unknown> | undefined): string {
  if (fields === undefined) return "";
  let text = "";
  for (const [key, value] of Object.entries(fields)) if (value !== undefined) text += ` ${key}=${formatValue(value)}`;
  return text;
}

function formatValue(value: unknown): string {
  try {
    if (value instanceof Error) return quoted(describeError(value));
    if (typeof value === "string") return quoted(value);
    if (typeof value === "object" && value !== null) return JSON.stringify(value);
    return String(value);
  } catch {
    return "?";
  }
}

/** Code, message, stack of what is not a RamaError, and the chain of causes. */
function describeError(error: Error): string {
  const head = error instanceof RamaError ? `${error.code}: ${error.message}` : (error.stack ?? error.message);
  return error.cause instanceof Error ? `${head}; caused by ${describeError(error.cause)}` : head;
}

function quoted(text: string): string {
  return /^[\w./:@+-]+$/.test(text) ? text : JSON.stringify(text);
}
