// `Setup`: what a module has beside its topologies. Each call declares one thing; names are checked at once, references when the module is built.
import { RamaError } from "../base/errors.ts";
import { checkOptionValue, findOption } from "../config/options.ts";
import type { DepotVar, PStateVar, ValueVar } from "../paths/arg.ts";
import type { DepotPartitioning } from "./definition.ts";
import { type Partitioning, toPartitioning } from "./depot-partitioning.ts";
import { checkName, checkVar, declared, type DepotDraft, type ModuleDraft } from "./draft.ts";
import { moduleNameOf } from "./module-name.ts";

export type ModuleRef = string | (abstract new (...args: any[]) => unknown);

/** What `declareDepot` returns. */
export class DepotDeclaration {
  readonly #depot: DepotDraft;

  constructor(depot: DepotDraft) {
    this.#depot = depot;
  }

  /** One partition, on task 0. */
  global(): this {
    this.#depot.global = true;
    return this;
  }

  /** Every record is read as `fn` makes it; `Depot.TOMBSTONE` leaves it out. Idempotent. */
  migration(id: string, fn: (record: any) => unknown): this {
    return declared(() => {
      if (typeof id !== "string" || id === "" || typeof fn !== "function")
        throw new RamaError("BAD_MODULE", "migration takes a name and a function of a record");
      this.#depot.migration = { id, fn };
      return this;
    });
  }
}

export class Setup {
  readonly #draft: ModuleDraft;

  constructor(draft: ModuleDraft) {
    this.#draft = draft;
  }

  /** An input log, partitioned like `Depot.hashBy("userId")`. */
  declareDepot(name: DepotVar, scheme: DepotPartitioning | Partitioning | (new () => Partitioning)): DepotDeclaration {
    return declared((line) => {
      checkVar(name, "*", "a depot");
      this.#draft.claim(name, line);
      const depot: DepotDraft = {
        name,
        line,
        partitioning: toPartitioning(scheme),
        tickMs: undefined,
        global: false,
        migration: undefined,
      };
      this.#draft.depots.push(depot);
      return new DepotDeclaration(depot);
    });
  }

  /** A source that fires every so many milliseconds, on task 0. */
  declareTickDepot(name: DepotVar, periodMillis: number | bigint): void {
    declared((line) => {
      checkVar(name, "*", "a depot");
      this.#draft.claim(name, line);
      const tickMs = Number(periodMillis);
      if (!(tickMs > 0) || !Number.isFinite(tickMs))
        throw new RamaError(
          "BAD_MODULE",
          `the period of ${name} is a number of milliseconds above 0, not ${periodMillis}`,
        );
      this.#draft.depots.push({
        name,
        line,
        partitioning: { kind: "disallow" },
        tickMs,
        global: true,
        migration: undefined,
      });
    });
  }

  /** A task global: a function makes one value per task, anything else is a constant that all share. */
  declareObject(name: ValueVar, value: unknown): void {
    declared((line) => {
      checkVar(name, "*", "a task global");
      this.#draft.claim(name, line);
      const methods = value as { prepareForTask?: unknown } | null;
      if (typeof value === "object" && typeof methods?.prepareForTask === "function") {
        throw new RamaError(
          "BAD_MODULE",
          `${name} has prepareForTask, so each task needs its own: declareObject("${name}", () => new ${methods.constructor.name}(…))`,
        );
      }
      this.#draft.globals.push({ name, line, value });
    });
  }

  /** A depot of another module. */
  clusterDepot(name: ValueVar, module: ModuleRef, depot: string): void {
    this.#mirror("depot", name, "*", module, depot);
  }

  /** A PState of another module, to read. */
  clusterPState(name: PStateVar, module: ModuleRef, pstate: string): void {
    this.#mirror("pstate", name, "$$", module, pstate);
  }

  /** A query of another module. */
  clusterQuery(name: ValueVar, module: ModuleRef, query: string): void {
    this.#mirror("query", name, "*", module, query);
  }

  setLaunchModuleDynamicOption(name: string, value: unknown): void {
    this.#option("module", "", name, value);
  }

  setLaunchTopologyDynamicOption(topology: string, name: string, value: unknown): void {
    this.#option("topology", topology, name, value);
  }

  setLaunchDepotDynamicOption(depot: DepotVar, name: string, value: unknown): void {
    this.#option("depot", depot, name, value);
  }

  setLaunchPStateDynamicOption(pstate: PStateVar, name: string, value: unknown): void {
    this.#option("pstate", pstate, name, value);
  }

  #mirror(kind: "depot" | "pstate" | "query", name: string, sign: "*" | "$$", module: ModuleRef, object: string): void {
    declared((line) => {
      checkVar(name, sign, `a mirror of a ${kind}`);
      this.#draft.claim(name, line);
      checkName(object, `a ${kind} of another module`);
      this.#draft.mirrors.push({ name, kind, module: moduleNameOf(module), object, line });
    });
  }

  #option(scope: "module" | "topology" | "depot" | "pstate", object: string, name: string, value: unknown): void {
    declared((line) => {
      checkName(name, "an option");
      checkOptionValue(name, value, object === "" ? "the module" : object);
      if (findOption(name)?.dynamic === undefined)
        throw new RamaError("BAD_CONFIG", `${name} is fixed when a process starts: set it in rama.yaml`, { name });
      this.#draft.options.push({ scope, object, name, value, line });
    });
  }
}
