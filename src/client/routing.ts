// Where a module's objects are, as the client knows it: one table per module, fetched when first needed, kept, and fetched again when a connection was lost
// or an engine answered that it has moved. Fetches of one module never overlap, so that a thousand failed requests ask once.
import type { Env } from "../base/env.ts";
import { RamaError } from "../base/errors.ts";
import type { EngineConnection } from "./connection.ts";
import type { Address } from "../net/transport.ts";
import type { DepotRoute, ModuleRoutes, PStateRoute, QueryRoute } from "../protocol/routes.ts";

/** MODULE_NOT_FOUND when there is none of that name. */
export type FetchRoutes = (moduleName: string) => Promise<ModuleRoutes>;

/** A module's routes with its objects by name. Frozen; a refresh makes a new one. */
export class RouteTable {
  readonly routes: ModuleRoutes;
  /** By task group; for the connection pool, which looks here first. */
  readonly connections: (EngineConnection | undefined)[] = [];
  /** A connection has ended since: the module may be another version, whose depots are partitioned otherwise. */
  doubtful = false;
  /** Until then a name that is not in it is unknown without asking again. */
  trustedUntilMs = 0;
  readonly #depots: ReadonlyMap<string, DepotRoute>;
  readonly #pstates: ReadonlyMap<string, PStateRoute>;
  readonly #queries: ReadonlyMap<string, QueryRoute>;

  constructor(routes: ModuleRoutes) {
    this.routes = routes;
    this.#depots = new Map(routes.depots.map((depot) => [depot.name, depot]));
    this.#pstates = new Map(routes.pstates.map((pstate) => [pstate.name, pstate]));
    this.#queries = new Map(routes.queries.map((query) => [query.name, query]));
  }

  get numTasks(): number {
    return this.routes.numTasks;
  }

  /** Address of the engine that has the task; MODULE_NOT_RUNNING while it has none. */
  address(task: number): Address {
    const { groups, moduleName } = this.routes;
    const group = groups[task % groups.length];
    if (group === undefined || group.port === 0) {
      throw new RamaError("MODULE_NOT_RUNNING", `task ${task} of ${moduleName} has no worker at present`, { task });
    }
    return group;
  }

  depot(name: string): DepotRoute {
    return this.#depots.get(name) ?? this.#unknown("depot", name, this.#depots);
  }

  pstate(name: string): PStateRoute {
    const pstate = this.#pstates.get(name) ?? this.#unknown("PState", name, this.#pstates);
    if (pstate.private) {
      throw new RamaError("PRIVATE_PSTATE", `${name} of ${this.routes.moduleName} is private`, { pstate: name });
    }
    return pstate;
  }

  query(name: string): QueryRoute {
    return this.#queries.get(name) ?? this.#unknown("query topology", name, this.#queries);
  }

  #unknown(kind: string, name: string, known: ReadonlyMap<string, unknown>): never {
    const { moduleName } = this.routes;
    const names = [...known.keys()].join(", ") || "none";
    throw new RamaError("UNKNOWN_OBJECT", `${moduleName} has no ${kind} named ${name}; it has: ${names}`, {
      module: moduleName,
      name,
    });
  }
}

const trustMs = 1000;

export class Routing {
  /** After close nothing is tried again. */
  closed = false;
  readonly #env: Env;
  readonly #fetch: FetchRoutes;
  readonly #tables = new Map<string, RouteTable>();
  readonly #fetching = new Map<string, Promise<RouteTable>>();

  constructor(env: Env, fetch: FetchRoutes) {
    this.#env = env;
    this.#fetch = fetch;
  }

  cached(moduleName: string): RouteTable | undefined {
    return this.#tables.get(moduleName);
  }

  get(moduleName: string): Promise<RouteTable> {
    const known = this.#tables.get(moduleName);
    if (known === undefined) return this.#fetchOnce(moduleName);
    return known.doubtful ? this.#again(moduleName, known) : Promise.resolve(known);
  }

  /** What decides where records go is fetched again before the next one is sent. */
  doubt(moduleName: string): void {
    const known = this.#tables.get(moduleName);
    if (known !== undefined) known.doubtful = true;
  }

  /** A table that is not `stale`: the present one when someone has fetched it meanwhile, else a new one. */
  refresh(moduleName: string, stale: RouteTable | undefined): Promise<RouteTable> {
    const known = this.#tables.get(moduleName);
    if (known !== undefined && known !== stale) return Promise.resolve(known);
    return this.#fetchOnce(moduleName);
  }

  /** May a name that the table does not know have come by an update since? */
  mayRecheck(table: RouteTable, error: unknown): boolean {
    if (!(error instanceof RamaError) || error.code !== "UNKNOWN_OBJECT" || this.closed) return false;
    const isCut = table.connections.some((connection) => connection?.state === "closed");
    return isCut || this.#env.monotonicMs() >= table.trustedUntilMs;
  }

  /** A table to look for an unknown name in again; rejects with `error` when the one at hand is new enough. */
  async recheck(moduleName: string, table: RouteTable, error: unknown): Promise<RouteTable> {
    if (!this.mayRecheck(table, error)) throw error;
    const fresh = await this.refresh(moduleName, table);
    if (fresh.routes.moduleInstanceId === table.routes.moduleInstanceId)
      fresh.trustedUntilMs = this.#env.monotonicMs() + trustMs;
    return fresh;
  }

  /** Tries again after route trouble until `timeoutMs` have passed; then TIMEOUT. MODULE_NOT_FOUND at once. */
  async within(moduleName: string, timeoutMs: number): Promise<RouteTable> {
    const deadline = this.#env.monotonicMs() + timeoutMs;
    for (let tries = 0; ; tries++) {
      try {
        return await this.get(moduleName);
      } catch (error) {
        if (this.closed || !(error instanceof RamaError) || !isRouteTrouble(error)) throw error;
        if (this.#env.monotonicMs() >= deadline) {
          const message = `the routes of ${moduleName} could not be had within ${timeoutMs} ms: ${error.message}`;
          throw new RamaError("TIMEOUT", message, { module: moduleName, timeoutMs, stored: false }, error);
        }
        await this.#env.sleep(backOffMs(this.#env, tries));
      }
    }
  }

  /** An engine is silent: its connection ends when, by fresh routes, others have its task groups. What is in flight then goes to them. */
  async leaveIfMoved(moduleName: string, connection: EngineConnection): Promise<void> {
    try {
      const { routes } = await this.refresh(moduleName, this.#tables.get(moduleName));
      const { host, port } = connection.address;
      if (routes.groups.some((group) => group.host === host && group.port === port)) return;
      const message = `${host}:${port} does not answer, and others have its task groups now`;
      connection.close(new RamaError("CONNECTION_LOST", message, { host, port }));
    } catch (error) {
      if (!(error instanceof RamaError)) throw error;
    }
  }

  forget(moduleName: string): void {
    this.#tables.delete(moduleName);
  }

  /** While nobody tells routes, the ones at hand must do. */
  async #again(moduleName: string, known: RouteTable): Promise<RouteTable> {
    try {
      return await this.#fetchOnce(moduleName);
    } catch (error) {
      if (!(error instanceof RamaError) || error.code !== "CONDUCTOR_UNREACHABLE") throw error;
      known.doubtful = false;
      return known;
    }
  }

  #fetchOnce(moduleName: string): Promise<RouteTable> {
    const running = this.#fetching.get(moduleName);
    if (running !== undefined) return running;
    const fetching = this.#fetchNow(moduleName);
    this.#fetching.set(moduleName, fetching);
    return fetching;
  }

  async #fetchNow(moduleName: string): Promise<RouteTable> {
    try {
      const routes = await this.#fetch(moduleName);
      const table = new RouteTable(routes);
      this.#tables.set(moduleName, table);
      return table;
    } catch (error) {
      if (error instanceof RamaError && error.code === "MODULE_NOT_FOUND") this.#tables.delete(moduleName);
      throw error;
    } finally {
      this.#fetching.delete(moduleName);
    }
  }
}

/** Errors after which the same request may be sent again to wherever the task is then. */
export function isRouteTrouble(error: RamaError): boolean {
  switch (error.code) {
    case "CONNECTION_LOST":
    case "CONNECT_FAILED":
    case "MOVED":
    case "MODULE_NOT_RUNNING":
    case "CONDUCTOR_UNREACHABLE":
      return true;
    default:
      return false;
  }
}

/**
 * Waits between tries: 10, 20, then 40 ms for as long as a restart or an update's hand-over takes, 240 ms at most for as long as the session of a dead leader lives, then
 * up to one second; each with a random part so that clients do not come in step.
 */
export function backOffMs(env: Env, tries: number): number {
  return fullBackOffMs(tries) * (0.5 + env.random() / 2);
}

function fullBackOffMs(tries: number): number {
  if (tries < quickTries) return 10 * 2 ** Math.min(tries, 2);
  return tries < sessionTries ? Math.min(240, 40 * 2 ** (tries - quickTries + 1)) : 1000;
}

const quickTries = 12;
/** Seven seconds of tries, about. */
const sessionTries = 48;
