// An error on the wire: one JSON text of code, message, facts and cause. A cause travels as name, message and stack, whatever it was.
//   FAILURE := kind | request u32 | failure text
import { isErrorCode, messageOf, RamaError } from "../base/errors.ts";
import { badFrame, type FrameReader, type FrameWriter } from "./frame-fields.ts";
import { FAILURE } from "./table.ts";

interface CauseText {
  readonly name: string;
  readonly message: string;
  readonly stack?: string;
  readonly code?: string;
}

/** A message longer than this is cut: user code may throw megabytes. */
const longestMessage = 16 * 1024;

export function failureText(error: unknown): string {
  const known = error instanceof RamaError ? error : new RamaError("INTERNAL", messageOf(error), {}, error);
  return JSON.stringify({
    code: known.code,
    message: cut(known.message),
    facts: plainFacts(known.facts),
    ...(known.cause === undefined ? {} : { cause: causeText(known.cause) }),
  });
}

export function failureOf(text: string): RamaError {
  let read: { code?: unknown; message?: unknown; facts?: Record<string, unknown>; cause?: CauseText };
  try {
    read = JSON.parse(text);
  } catch {
    throw badFrame("a failure is not JSON");
  }
  const code = typeof read.code === "string" && isErrorCode(read.code) ? read.code : "INTERNAL";
  return new RamaError(code, String(read.message), read.facts ?? {}, read.cause && causeOf(read.cause));
}

export function encodeFailure(writer: FrameWriter, request: number, error: unknown): Uint8Array {
  return writer.begin(FAILURE).u32(request).text(failureText(error)).view();
}

/** The reader stands after the request. */
export function decodeFailure(reader: FrameReader): RamaError {
  return failureOf(reader.text());
}

function causeText(cause: unknown): CauseText {
  if (!(cause instanceof Error)) return { name: "Error", message: cut(String(cause)) };
  const code = cause instanceof RamaError ? { code: cause.code } : {};
  return {
    name: cause.name,
    message: cut(cause.message),
    ...(cause.stack === undefined ? {} : { stack: cut(cause.stack) }),
    ...code,
  };
}

function causeOf(text: CauseText): Error {
  const cause =
    text.code !== undefined && isErrorCode(text.code)
      ? new RamaError(text.code, text.message)
      : new Error(text.message);
  cause.name = text.name;
  if (text.stack !== undefined) cause.stack = text.stack;
  return cause;
}

function plainFacts(facts: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const plain: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(facts)) {
    if (typeof value === "bigint") plain[name] = value.toString();
    else if (value === null || typeof value !== "object") plain[name] = value;
    else if (Array.isArray(value)) plain[name] = value.map(String);
    else plain[name] = String(value);
  }
  return plain;
}

function cut(text: string): string {
  return text.length <= longestMessage ? text : `${text.slice(0, longestMessage)}…`;
}
