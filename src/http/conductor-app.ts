// HTTP of the conductor, port 8888: the Cluster UI and the API that it reads, bundles for supervisors, the REST redirect, health.
//
//   GET  /                         the UI (src/ui-static)
//   GET  /api/cluster              ClusterStatusAnswer
//   GET  /api/modules/:name        ModuleStatusAnswer
//   GET  /api/modules/:name/deadLetters  the records that its topologies have set aside
//   POST /api/modules/:name/deadLetters  {"action": "retry" | "drop", "choice": {topology?, depot?, partition?, offset?}} → {"count": n}
//   POST /api/modules/:name/topologies/:topology  {"paused": true | false}
//   GET  /api/operations           the operation log, newest last
//   GET  /d/bundle/:hash.js        a bundle's bytes
//   *    /rest/:module/…           308 to a supervisor of the module
//   GET  /healthz, /readyz         200 while the process serves; /readyz only while the metastore answers
// A POST has the content type application/json: a page of another origin cannot send that without being asked for leave.
import { Hono } from "hono";
import { RamaError } from "../base/errors.ts";
import { isPlainObject } from "../base/values.ts";
import { errorResponse } from "./error-response.ts";
import { redirectToSupervisor } from "./redirect.ts";
import { uiAsset } from "./ui.ts";
import type { ConductorView, HttpApp } from "./views.ts";

export function conductorApp(view: ConductorView): HttpApp {
  const app = new Hono();
  app.onError((error) => errorResponse(error));
  app.get("/api/cluster", async (c) => c.json({ ...(await view.clusterStatus()) }));
  app.get("/api/modules/:name", async (c) => c.json({ ...(await view.moduleStatus(c.req.param("name"))) }));
  app.get("/api/modules/:name/deadLetters", async (c) => c.json((await view.deadLetters(c.req.param("name"))).letters));
  app.post("/api/modules/:name/deadLetters", async (c) => {
    const { action, choice = {} } = await jsonBody(c.req.raw);
    if ((action !== "retry" && action !== "drop") || !isPlainObject(choice))
      throw new RamaError("BAD_ARGUMENTS", 'the body must be {"action": "retry" or "drop", "choice": {…}}');
    const { count } = await view.changeDeadLetters(c.req.param("name"), { action, choice });
    return c.json({ count });
  });
  app.post("/api/modules/:name/topologies/:topology", async (c) => {
    const { paused } = await jsonBody(c.req.raw);
    if (typeof paused !== "boolean") throw new RamaError("BAD_ARGUMENTS", 'the body must be {"paused": true or false}');
    await view.pauseTopology(c.req.param("name"), c.req.param("topology"), paused);
    return c.json({ paused });
  });
  app.get("/api/operations", async (c) => c.json(await view.store.operations()));
  app.get("/d/bundle/:file", (c) => {
    const bytes = view.bundle(c.req.param("file").replace(/\.js$/, ""));
    if (!bytes) return c.text("there is no such bundle", 404);
    return c.body(bytes as Uint8Array<ArrayBuffer>, 200, { "content-type": "text/javascript" });
  });
  app.all("/rest/:module/*", (c) =>
    redirectToSupervisor(view.store, c.req.raw, decodeURIComponent(c.req.param("module"))),
  );
  app.get("/healthz", (c) => c.text("ok"));
  app.get("/readyz", async (c) => {
    await view.store.moduleNames();
    return c.text("ready");
  });
  app.get("*", (c) => uiAsset(new URL(c.req.url).pathname) ?? c.text("not found", 404));
  return (request) => app.fetch(request);
}

/** BAD_ARGUMENTS, BAD_JSON. */
async function jsonBody(request: Request): Promise<Record<string, unknown>> {
  if (!(request.headers.get("content-type") ?? "").startsWith("application/json"))
    throw new RamaError("BAD_ARGUMENTS", "the content type must be application/json");
  let body: unknown;
  try {
    body = await request.json();
  } catch (error) {
    throw new RamaError("BAD_JSON", "the body is not JSON", {}, error);
  }
  if (!isPlainObject(body)) throw new RamaError("BAD_ARGUMENTS", "the body must be a JSON object");
  return body;
}
