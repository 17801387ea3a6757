// The dynamic options of one module: what the deployment or `setOption` says, else what the module's code says at launch. The level of the object wins over the
// module's; defaults are the reader's business.
import type { DynamicOption } from "../../module/definition.ts";
import type { OptionSetting } from "../../protocol/cluster-records.ts";
import type { OptionLookup } from "../../task/engine-api.ts";

export class DynamicOptions implements OptionLookup {
  readonly #launch: ReadonlyMap<string, unknown>;
  #settings: readonly OptionSetting[];
  #set: ReadonlyMap<string, unknown>;

  constructor(launch: readonly DynamicOption[], settings: readonly OptionSetting[]) {
    this.#launch = byKey(launch);
    this.#settings = settings;
    this.#set = byKey(settings);
  }

  /** What was set last, without the module's own. */
  get settings(): readonly OptionSetting[] {
    return this.#settings;
  }

  /** Replaces everything that was set. */
  replace(settings: readonly OptionSetting[]): void {
    this.#settings = settings;
    this.#set = byKey(settings);
  }

  get(name: string, object?: string): unknown {
    return (object === undefined ? undefined : this.#at(name, object)) ?? this.#at(name, "");
  }

  #at(name: string, object: string): unknown {
    const key = keyOf(name, object);
    return this.#set.get(key) ?? this.#launch.get(key);
  }
}

function byKey(settings: readonly DynamicOption[]): ReadonlyMap<string, unknown> {
  return new Map(
    settings.map(({ scope, object, name, value }) => [keyOf(name, scope === "module" ? "" : object), value]),
  );
}

function keyOf(name: string, object: string): string {
  return `${name}\n${object}`;
}
