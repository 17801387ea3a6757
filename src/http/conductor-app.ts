// HTTP of the conductor, port 8888: the Cluster UI and the API that it reads, bundles for supervisors, the REST redirect, health.
//
//   GET  /                         the UI (src/ui-static)
//   GET  /api/cluster              ClusterStatusAnswer
//   GET  /api/modules/:name        ModuleStatusAnswer
//   GET  /api/modules/:name/deadLetters  the records that its topologies have set aside
//   GET  /api/operations           the operation log, newest last
//   GET  /d/bundle/:hash.js        a bundle's bytes
//   *    /rest/:module/…           308 to a supervisor of the module
//   GET  /healthz, /readyz         200 while the process serves; /readyz only while the metastore answers
import { Hono } from "hono";
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
