// Options as the engine reads them: what `setOption` said last, else what the module's launch and the cluster say, else the default of the table.
import { options } from "../config/options.ts";
import type { OptionLookup } from "./engine-api.ts";

const defaults = new Map(options.map((option) => [option.name, option.default]));

export class OptionView {
  readonly #set = new Map<string, unknown>();
  readonly #listeners: (() => void)[] = [];

  constructor(readonly lookup: OptionLookup) {}

  /** `object` "" or absent: for the whole module. */
  set(name: string, object: string | undefined, value: unknown): void {
    this.#set.set(`${name}\n${object ?? ""}`, value);
    for (const listener of this.#listeners) listener();
  }

  /** Calls `read` now and whenever an option changes: values used per event are kept in fields. */
  follow(read: () => void): void {
    this.#listeners.push(read);
    read();
  }

  get(name: string, object?: string): unknown {
    const set = this.#set;
    return (
      (object === undefined ? undefined : set.get(`${name}\n${object}`)) ??
      set.get(`${name}\n`) ??
      this.lookup.get(name, object) ??
      defaults.get(name)
    );
  }

  number(name: string, object?: string): number {
    return Number(this.get(name, object));
  }

  flag(name: string, object?: string): boolean {
    return this.get(name, object) === true;
  }
}
