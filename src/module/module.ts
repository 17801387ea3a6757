// What an author extends. `define` describes the program; it runs once per launch or update, and once per process that serves the module.
import type { Setup } from "./setup.ts";
import type { Topologies } from "./topologies.ts";

/**
 * A module: depots, topologies, PStates, queries.
 *
 * ```ts
 * export class WordCountModule extends RamaModule {
 *   define(setup: Setup, topologies: Topologies) {
 *     setup.declareDepot("*sentences", Depot.random());
 *     …
 *   }
 * }
 * ```
 */
export abstract class RamaModule {
  abstract define(setup: Setup, topologies: Topologies): void;

  /** The class name, or what a module overrides it with: "com.mycompany.MyModule". */
  getModuleName(): string {
    return this.constructor.name;
  }
}
