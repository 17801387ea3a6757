// An error as an HTTP answer: `{ code, message, advice, retryable }` with the status of its code (base/errors.ts).
import { errorTable, messageOf, RamaError } from "../base/errors.ts";

export function errorResponse(error: unknown): Response {
  if (error instanceof RamaError) {
    const { retryable, status, advice } = errorTable[error.code];
    return Response.json({ code: error.code, message: error.message, advice, retryable }, { status });
  }
  const { advice } = errorTable.INTERNAL;
  return Response.json({ code: "INTERNAL", message: messageOf(error), advice, retryable: false }, { status: 500 });
}
