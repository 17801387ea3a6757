// REST over the depots, PStates and queries of running modules (cluster.md 8): POST with a JSON body, answers in plain JSON. Mounted by each supervisor, which
// answers with a redirect itself where it has no worker of the module.
//
//   POST /rest/:module/depot/:depot/append      {"data": …, "ackLevel": "ack" | "appendAck" | "none"} → ack returns by topology
//   POST /rest/:module/pstate/:pstate/select    JSON path → list of values
//   POST /rest/:module/pstate/:pstate/selectOne JSON path → one value
//   POST /rest/:module/query/:query/invoke      list of arguments → result
// The body's content type does not matter. Errors: `{ code, message, advice, retryable }` with the status of the code.
import { type Context, Hono } from "hono";
import { RamaError } from "../base/errors.ts";
import { jsonText, parseJson } from "../base/json.ts";
import type { ClusterClient } from "../client/cluster-client.ts";
import type { AckLevelName } from "../dataflow/compiled.ts";
import { opNamed } from "../dataflow/ops.ts";
import { isPlainObject } from "../base/values.ts";
import { type JsonPath, pathOfJson } from "../paths/json-path.ts";
import { errorResponse } from "./error-response.ts";
import type { HttpApp } from "./views.ts";

export interface RestOptions {
  /** limit.http.body.bytes; default 20 MB. */
  readonly bodyBytesMax?: number;
}

type RestClient = Pick<ClusterClient, "clusterDepot" | "clusterPState" | "clusterQuery">;

const defaultBodyBytesMax = 20 * 1024 * 1024;

export function restApp(client: RestClient, options: RestOptions = {}): HttpApp {
  const { bodyBytesMax = defaultBodyBytesMax } = options;
  const app = new Hono();
  app.onError((error) => errorResponse(error));
  app.notFound((c) => {
    const message = `there is nothing at ${c.req.method} ${new URL(c.req.url).pathname}`;
    return errorResponse(new RamaError("UNKNOWN_OBJECT", message));
  });

  /** A POST to `path` with what `run` answers for the decoded module, object and body. */
  function post(path: string, run: (moduleName: string, object: string, body: unknown) => Promise<unknown>): void {
    app.post(path, async (c) => {
      const body = await readBody(c, bodyBytesMax);
      const answer = await run(param(c, "module"), param(c, "object"), body);
      return c.body(jsonText(answer), 200, { "content-type": "application/json" });
    });
  }

  post("/rest/:module/depot/:object/append", async (moduleName, depot, body) => {
    const { data, level } = appendBody(body);
    return client.clusterDepot(moduleName, depot).append(data, level);
  });
  post("/rest/:module/pstate/:object/select", async (moduleName, pstate, body) => {
    const found = client.clusterPState(moduleName, pstate);
    const { path, partitionKey }: JsonPath = pathOfJson(body);
    return partitionKey === undefined ? found.select(path) : found.select(partitionKey.value, path);
  });
  post("/rest/:module/pstate/:object/selectOne", async (moduleName, pstate, body) => {
    const found = client.clusterPState(moduleName, pstate);
    const { path, partitionKey }: JsonPath = pathOfJson(body);
    return partitionKey === undefined ? found.selectOne(path) : found.selectOne(partitionKey.value, path);
  });
  post("/rest/:module/query/:object/invoke", async (moduleName, query, body) => {
    if (!Array.isArray(body))
      throw new RamaError("BAD_ARGUMENTS", "the body must be the list of the query's arguments");
    return client.clusterQuery(moduleName, query).invoke(...body);
  });
  return (request) => app.fetch(request);
}

function param(c: Context, name: string): string {
  return c.req.param(name) ?? "";
}

async function readBody(c: Context, bytesMax: number): Promise<unknown> {
  const announced = Number(c.req.header("content-length") ?? 0);
  if (announced > bytesMax) throw bodyTooLarge(announced, bytesMax);
  const bytes = await c.req.arrayBuffer();
  if (bytes.byteLength > bytesMax) throw bodyTooLarge(bytes.byteLength, bytesMax);
  return parseJson(new TextDecoder().decode(bytes), { functionNamed: opNamed });
}

function bodyTooLarge(bytes: number, limit: number): RamaError {
  return new RamaError("TOO_LARGE", `a body of ${bytes} bytes is over limit.http.body.bytes (${limit})`, {
    bytes,
    limit,
  });
}

const levels: readonly unknown[] = ["ack", "appendAck", "none"] satisfies AckLevelName[];

function appendBody(body: unknown): { readonly data: unknown; readonly level: AckLevelName } {
  if (!isPlainObject(body) || !Object.hasOwn(body, "data")) {
    throw new RamaError("BAD_ARGUMENTS", 'the body must be {"data": …, "ackLevel": …}');
  }
  const level = body["ackLevel"] ?? "ack";
  if (!levels.includes(level)) {
    throw new RamaError("BAD_ARGUMENTS", `ackLevel must be one of ${levels.join(", ")}, not ${String(level)}`);
  }
  return { data: body["data"], level: level as AckLevelName };
}
