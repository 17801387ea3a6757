// HTTP of a supervisor: REST for the modules that have a worker on this node, a redirect for the others, health.
import { Hono } from "hono";
import { RamaClusterManager } from "../client/cluster-manager.ts";
import { errorResponse } from "./error-response.ts";
import { redirectToSupervisor, supervisorLocations } from "./redirect.ts";
import { restApp } from "./rest.ts";
import type { HttpApp, SupervisorView } from "./views.ts";

/** How long it is remembered that this node has a module. */
const locatedForMs = 2_000;

export function supervisorApp(view: SupervisorView): HttpApp {
  const app = new Hono();
  // Opened by the first request, with this supervisor as the teller of routes: REST goes on without the conductor.
  let rest: Promise<HttpApp> | undefined;
  const openRest = (): Promise<HttpApp> => {
    rest ??= RamaClusterManager.openInternal({ supervisors: [view.routesAddress()] }).then(
      restApp,
      (error: unknown) => {
        rest = undefined;
        throw error;
      },
    );
    return rest;
  };
  const located = new Map<string, number>();
  app.onError((error) => errorResponse(error));
  app.all("/rest/:module/*", async (c) => {
    const moduleName = decodeURIComponent(c.req.param("module"));
    if ((located.get(moduleName) ?? 0) < view.nowMs()) {
      const locations = await supervisorLocations(view.store, moduleName);
      if (!locations.some((location) => location.id === view.supervisorId))
        return redirectToSupervisor(view.store, c.req.raw, moduleName);
      located.set(moduleName, view.nowMs() + locatedForMs);
    }
    return (await openRest())(c.req.raw);
  });
  app.get("/healthz", (c) => c.text("ok"));
  app.get("/readyz", async (c) => {
    await view.store.moduleNames();
    return c.text("ready");
  });
  return (request) => app.fetch(request);
}
