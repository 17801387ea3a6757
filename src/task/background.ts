// What an engine does beside the work that comes to it: PStates and depots in older forms are brought into their new one, depots are trimmed.
import type { DepotControl } from "../depot/control-entry.ts";
import type { DepotPartition } from "../depot/partition.ts";
import type { MigrationStatus } from "../module/migrations.ts";
import type { ConsumersNeed } from "./depot-fetches.ts";
import { DepotUpkeep } from "./depot-upkeep.ts";
import type { EngineCore } from "./engine-core.ts";
import type { EngineStore } from "./engine-store.ts";
import { PStateMigrations } from "./pstate-migrations.ts";

export class Background {
  readonly #core: EngineCore;
  readonly #pstates: PStateMigrations;
  readonly #depots: DepotUpkeep;

  constructor(
    core: EngineCore,
    store: EngineStore,
    neededElsewhere: (partition: DepotPartition) => ConsumersNeed,
    onFailed: (error: unknown) => void,
  ) {
    this.#core = core;
    const { options, view, loop, groups, runtimes } = core;
    const { env, module } = options;
    const { depots, pstates, topologies } = module.definition;
    this.#pstates = new PStateMigrations({
      env,
      loop,
      options: view,
      groups,
      ownerOf: (name) => topologies[pstates.find((pstate) => pstate.name === name)!.topology]!,
      flush: () => store.flush(),
      unsettled: (name) => runtimes.some((runtime) => runtime.topology.name === name && runtime.restoring === true),
      onFailed,
    });
    this.#depots = new DepotUpkeep({
      env,
      loop,
      options: view,
      groups: store.depots,
      flush: () => store.flush(true),
      neededHere: ({ name, task }) => {
        const { index } = depots.find((depot) => depot.name === name)!;
        return least(runtimes.map((runtime) => runtime.neededFrom?.(index, task)));
      },
      neededElsewhere,
    });
  }

  /** Before anything of this version of the module is written. Its entries are in the next turn. */
  begin(): void {
    this.#depots.begin();
    this.#pstates.begin();
  }

  /** The engine serves. */
  start(): void {
    this.#pstates.start();
    this.#depots.start();
  }

  /** Puts a control entry of a depot partition into the log. */
  note(partition: DepotPartition, control: DepotControl): void {
    this.#depots.note(partition, control);
  }

  /** Of every depot and PState with a migration, for each task of the engine. */
  migrations(): MigrationStatus[] {
    const tasks = this.#core.groups.flatMap((group) => group.tasks.map(({ id }) => id));
    return [...this.#depots.status(tasks), ...this.#pstates.status()];
  }

  stop(): void {
    this.#pstates.stop();
    this.#depots.stop();
  }

  async close(): Promise<void> {
    await this.#pstates.close();
    await this.#depots.close();
  }
}

function least(offsets: readonly (number | undefined)[]): number | undefined {
  const known = offsets.filter((offset) => offset !== undefined);
  return known.length === 0 ? undefined : Math.min(...known);
}
