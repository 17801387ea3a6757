// A query topology of a running module as its users see it.
import { RamaError } from "../base/errors.ts";
import { taskOf } from "../base/hash.ts";
import { decodeValue, encodeValue } from "../base/value-codec.ts";
import { ANY_TASK, encodeInvoke } from "../protocol/query.ts";
import type { QueryRoute } from "../protocol/routes.ts";
import { type CallContext, call } from "./call.ts";
import type { RouteTable } from "./routing.ts";

export class QueryClient<T = any> {
  readonly #context: CallContext;
  readonly #moduleName: string;
  readonly #name: string;

  constructor(context: CallContext, moduleName: string, name: string) {
    this.#context = context;
    this.#moduleName = moduleName;
    this.#name = name;
  }

  /**
   * Runs the query with these arguments and resolves to its result.
   * Errors: WRONG_ARGUMENT_COUNT, USER_CODE_FAILED (with the cause), TIMEOUT, CONNECTION_LOST (its worker went away while it ran), TOO_LARGE, UNKNOWN_OBJECT, MODULE_NOT_FOUND.
   */
  async invoke<R = T>(...args: unknown[]): Promise<R> {
    const { classes, config, scratch } = this.#context;
    const encoded = encodeValue(args, classes);
    let startsAnywhere = false;
    return call(this.#context, {
      moduleName: this.#moduleName,
      what: `query ${this.#name}`,
      timeoutMs: config.get("foreign.query.operation.timeout.millis"),
      repeatable: false,
      task: (table) => {
        const query = this.#checked(table, args.length);
        startsAnywhere = query.start.kind === "any";
        return this.#startTask(query, table.numTasks, args);
      },
      send: (table, task, connection, request) => {
        const query = table.query(this.#name).index;
        connection.send(
          encodeInvoke(scratch, { query, task: startsAnywhere ? ANY_TASK : task, request, args: encoded }),
        );
      },
      read: (frame, at) => decodeValue(frame, at, frame.length, classes) as R,
    });
  }

  #checked(table: RouteTable, count: number): QueryRoute {
    const query = table.query(this.#name);
    if (query.inputs !== count) {
      const message = `query ${this.#name} takes ${query.inputs} arguments, ${count} were given`;
      throw new RamaError("WRONG_ARGUMENT_COUNT", message, { query: this.#name, wanted: query.inputs, given: count });
    }
    return query;
  }

  #startTask({ start }: QueryRoute, numTasks: number, args: readonly unknown[]): number {
    switch (start.kind) {
      case "hashInput":
        return taskOf(args[start.input] ?? null, numTasks);
      case "task":
        return start.task;
      default:
        return Math.floor(this.#context.env.random() * numTasks);
    }
  }
}
