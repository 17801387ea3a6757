// The answer of a node that does not have the module: 308 to a supervisor that has, and all of them in `Supervisor-Locations` (cluster.md 8.1).
import { RamaError } from "../base/errors.ts";
import type { ClusterStore } from "../cluster/cluster-store.ts";
import { errorResponse } from "./error-response.ts";

/** host:port of the supervisors that run the module. MODULE_NOT_FOUND. */
export async function supervisorLocations(
  store: ClusterStore,
  moduleName: string,
): Promise<{ readonly id: string; readonly address: string }[]> {
  const { value: record } = await store.requireModule(moduleName);
  const ids = new Set(
    record.instances.flatMap((instance) => instance.placement.map((placement) => placement.supervisorId)),
  );
  const supervisors = await store.supervisors();
  return supervisors
    .filter((s) => ids.has(s.id) && s.httpPort !== 0)
    .map((s) => ({ id: s.id, address: `${s.host}:${s.httpPort}` }));
}

export async function redirectToSupervisor(
  store: ClusterStore,
  request: Request,
  moduleName: string,
): Promise<Response> {
  try {
    const locations = await supervisorLocations(store, moduleName);
    if (locations.length === 0) {
      throw new RamaError("MODULE_NOT_RUNNING", `no supervisor that runs ${moduleName} is there at present`, {
        module: moduleName,
      });
    }
    const { pathname, search } = new URL(request.url);
    return new Response(null, {
      status: 308,
      headers: {
        Location: `http://${locations[0]!.address}${pathname}${search}`,
        "Supervisor-Locations": JSON.stringify(locations.map((location) => location.address)),
      },
    });
  } catch (error) {
    return errorResponse(error);
  }
}
