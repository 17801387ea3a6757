// A PState partition against a plain model: random writes into nested schemas, ranges, rollbacks, seals, applies, discards, flushes that succeed or fail,
// crashes with replay of the log, caches so small that nearly everything is evicted, and a follower that only sees the entries. Guards the owner's view, the external
// view, snapshots of it, the log and the Kv against each other, and that removed structures leave no key behind.
import type { SchemaNode } from "../../src/module/schema.ts";
import { type PathRoot, ReadSession } from "../../src/paths/indexed.ts";
import type {
  PStateGroup,
  PStatePartition,
  PStateSnapshot,
  PStateTransaction,
  SealedWrites,
} from "../../src/pstate/contract.ts";
import { openPStateGroup } from "../../src/pstate/group.ts";
import type { Kv } from "../../src/storage/kv.ts";
import { memoryKv } from "../../src/storage/kv-memory.ts";
import { expect, test } from "bun:test";
import { leaf, map, schemas, Random, anyValue, shown, read } from "./pstate-plain.ts";
import { subindexed, anyStep, actOnSystem, actOnModel } from "./pstate-steps.ts";

class Machine {
  readonly #opener = memoryKv();
  readonly #schema: SchemaNode;
  readonly #r: Random;
  #kv!: Kv;
  #group!: PStateGroup;
  #transaction!: PStateTransaction;
  #follower!: PStateGroup;
  readonly #log: Uint8Array[] = [];
  #flushed = 0;
  #external: any;
  /** Sealed, oldest first, with the state that each makes. */
  #sealed: { writes: SealedWrites; state: any }[] = [];
  #current: any;
  #flight: { ops: any[]; done(): void; failed(): void; upTo: number } | undefined;

  /** With what each shows, whatever happens meanwhile. */
  readonly #snapshots: { readonly snapshot: PStateSnapshot; readonly state: any }[] = [];

  constructor(schema: SchemaNode, seed: number) {
    this.#schema = schema;
    this.#r = new Random(seed);
    this.#external = this.#empty();
    this.#current = this.#empty();
  }

  #empty(): any {
    return this.#schema.kind === "map" ? new Map() : this.#schema.kind === "fixed" ? {} : null;
  }

  #openGroup(kv: Kv): PStateGroup {
    const cacheBytes = this.#r.pick([0, 1_500, 6_000, 1_000_000]);
    const specs = [
      { objectId: 1, name: "$$p", schema: this.#schema },
      { objectId: 2, name: "$$other", schema: map(String, leaf(Number)) },
    ];
    return openPStateGroup({ kv, groupId: 0, tasks: [0, 3], specs, cacheBytes, deepValidation: true });
  }

  async open(): Promise<void> {
    this.#kv = await this.#opener.open("leader");
    this.#group = this.#openGroup(this.#kv);
    this.#transaction = this.#group.transaction();
    this.#follower = this.#openGroup(await this.#opener.open("follower"));
  }

  #partition(group = this.#group): PStatePartition {
    return group.partition(1, 3);
  }

  async run(steps: number): Promise<void> {
    await this.open();
    for (let i = 0; i < steps; i++) await this.#step();
    await this.#checkAll();
    await this.#checkNoOrphans();
  }

  async #step(): Promise<void> {
    const r = this.#r;
    switch (r.below(15)) {
      case 14:
        return r.chance(3) ? this.#takeSnapshot() : this.#readSnapshot();
      case 0:
        return this.#seal();
      case 1:
        return r.chance(2) ? this.#seal() : this.#rollback();
      case 2:
        return this.#apply();
      case 3:
        return r.chance(3) ? this.#discard() : this.#apply();
      case 4:
        return this.#flush();
      case 5:
        return r.chance(12) ? this.#crash() : r.chance(3) ? this.#group.removeDropped() : this.#flush();
      case 6:
        return this.#compareExternal();
      case 7:
        return r.chance(10) ? this.#clear() : this.#compareOwner();
      default:
        return this.#act();
    }
  }

  #clear(): void {
    this.#partition().clear(this.#transaction);
    this.#current = this.#empty();
  }

  async #act(): Promise<void> {
    if (this.#schema.kind === "leaf") {
      const value = anyValue(this.#r, this.#schema);
      this.#partition().owner(this.#transaction, new ReadSession()).set(value);
      this.#current = value;
      return;
    }
    const step = anyStep(this.#r, this.#schema);
    const owner = step.write || this.#r.chance(2);
    const got = await this.#evaluate(owner, (root) => actOnSystem(root.get(), step.keys, step.system, step.write));
    const expected = actOnModel(owner ? this.#current : this.#external, step.keys, step.model);
    if (!step.write) expect(got).toEqual(expected as any);
  }

  /** Evaluates as a topology or a client does; what is missed is loaded while other things go on. */
  async #evaluate<T>(owner: boolean, select: (root: PathRoot) => T): Promise<T> {
    const session = new ReadSession();
    for (let round = 0; round < 60; round++) {
      const partition = this.#partition();
      const root = owner ? partition.owner(this.#transaction, session) : partition.external(session);
      const mark = this.#transaction.mark();
      const result = select(root);
      if (!session.missed) return result;
      this.#transaction.rollbackTo(mark);
      const loading = session.load();
      if (this.#r.chance(2)) await this.#flush();
      if (this.#r.chance(3)) this.#apply();
      await loading;
      if (this.#r.chance(4)) await this.#flush();
    }
    throw new Error("no end of misses");
  }

  async #compareOwner(): Promise<void> {
    const got = await this.#evaluate(true, (root) => read(this.#schema, root.get(), true));
    expect(got).toEqual(shown(this.#schema, this.#current) as any);
  }

  async #compareExternal(): Promise<void> {
    const got = await this.#evaluate(false, (root) => read(this.#schema, root.get(), true));
    expect(got).toEqual(shown(this.#schema, this.#external) as any);
  }

  #takeSnapshot(): void {
    if (this.#snapshots.length >= 3) return;
    // With what is written and not sealed, where nothing is sealed and not applied: as in a microbatch that runs.
    const isOwners = this.#sealed.length === 0 && this.#r.chance(2);
    const snapshot = this.#group.snapshot(this.#partition(), isOwners ? this.#transaction : undefined);
    this.#snapshots.push({ snapshot, state: structuredClone(isOwners ? this.#current : this.#external) });
  }

  async #readSnapshot(): Promise<void> {
    const at = this.#r.below(3);
    const taken = this.#snapshots[at];
    if (taken === undefined) return;
    const session = new ReadSession();
    const readIt = () => read(this.#schema, taken.snapshot.external(session).get(), true);
    let got = readIt();
    while (session.missed) {
      await session.load();
      got = readIt();
    }
    expect(got).toEqual(shown(this.#schema, taken.state) as any);
    if (!this.#r.chance(3)) return;
    this.#snapshots.splice(at, 1);
    await taken.snapshot.close();
  }

  #seal(): void {
    const writes = this.#transaction.seal();
    if (writes !== undefined) this.#sealed.push({ writes, state: structuredClone(this.#current) });
  }

  #rollback(): void {
    this.#transaction.rollbackTo(0);
    this.#current = structuredClone(this.#sealed.length > 0 ? this.#sealed.at(-1)!.state : this.#external);
  }

  #apply(): void {
    const first = this.#sealed.shift();
    if (first === undefined) return;
    first.writes.apply();
    this.#external = structuredClone(first.state);
    this.#log.push(first.writes.bytes);
    this.#follower.applyWrites(first.writes.bytes);
  }

  #discard(): void {
    this.#rollback();
    const last = this.#sealed.pop();
    if (last === undefined) return;
    last.writes.discard();
    this.#current = structuredClone(this.#sealed.length > 0 ? this.#sealed.at(-1)!.state : this.#external);
  }

  /** Begins a flush, or ends the one under way. */
  async #flush(): Promise<void> {
    if (this.#flight === undefined) {
      this.#flight = { ...this.#group.collect(), upTo: this.#log.length };
      return;
    }
    const flight = this.#flight;
    this.#flight = undefined;
    if (this.#r.chance(5)) {
      flight.failed();
      return;
    }
    await this.#kv.batch(flight.ops, { sync: true });
    this.#flushed = flight.upTo;
    flight.done();
  }

  async #crash(): Promise<void> {
    this.#flight = undefined;
    this.#sealed = [];
    for (const { snapshot } of this.#snapshots.splice(0)) await snapshot.close();
    await this.#kv.close();
    this.#opener.powerCut();
    this.#kv = await this.#opener.open("leader");
    this.#group = this.#openGroup(this.#kv);
    this.#transaction = this.#group.transaction();
    for (const entry of this.#log.slice(this.#flushed)) this.#group.applyWrites(entry);
    this.#current = structuredClone(this.#external);
    const follower = await this.#opener.open("follower");
    this.#follower = this.#openGroup(follower);
    for (const entry of this.#log.slice(this.#followerFlushed)) this.#follower.applyWrites(entry);
  }

  #followerFlushed = 0;

  async #checkAll(): Promise<void> {
    await this.#compareOwner();
    await this.#compareExternal();
    const session = new ReadSession();
    const readFollower = () => read(this.#schema, this.#follower.partition(1, 3).external(session).get(), true);
    let got = readFollower();
    while (session.missed) {
      await session.load();
      got = readFollower();
    }
    expect(got).toEqual(shown(this.#schema, this.#external) as any);
  }

  /** After everything is flushed, the Kv holds the keys of what is there and nothing else. */
  async #checkNoOrphans(): Promise<void> {
    while (this.#sealed.length > 0) this.#apply();
    this.#rollback();
    if (this.#flight !== undefined) {
      this.#flight.failed();
      this.#flight = undefined;
    }
    for (let i = 0; i < 2; i++) {
      const { ops, done } = this.#group.collect();
      await this.#kv.batch(ops, { sync: true });
      done();
      await this.#group.removeDropped();
    }
    this.#flushed = this.#log.length;
    const keys = await this.#kv.range({ gte: Uint8Array.of(0x50), lt: Uint8Array.of(0x51) });
    const elements = keys.filter(({ key }) => key[5]! > 0).length;
    const dropped = keys.filter(({ key }) => key[5] === 0 && key[6] === 3).length;
    expect(dropped).toBe(0);
    expect(elements).toBeLessThanOrEqual(this.#countElements(this.#schema, this.#external, true));
    await this.#crash();
    await this.#checkAll();
  }

  /** Stored elements, and one meta for every structure that may have one. */
  #countElements(schema: SchemaNode, model: any, top = false): number {
    if (model === null || model === undefined) return 0;
    const own = top || subindexed(schema);
    const meta = subindexed(schema) ? 1 : 0;
    const sum = (values: any[], below: SchemaNode) => values.reduce((n, v) => n + this.#countElements(below, v), 0);
    switch (schema.kind) {
      case "map":
        return (
          meta +
          (own ? model.size : 0) +
          sum(
            [...model.values()].map(({ v }: any) => v),
            schema.value,
          )
        );
      case "set":
        return meta + (own ? model.size : 0);
      case "list":
        return meta + (own ? model.length : 0) + sum(model, schema.element);
      case "fixed": {
        const fields = Object.entries(model);
        return (
          (top ? fields.length : 0) +
          fields.reduce((n, [name, v]) => n + this.#countElements(schema.fields.get(name)!, v), 0)
        );
      }
      default:
        return 0;
    }
  }
}

const seeds = Number(process.env["RAMA_PSTATE_SEEDS"] ?? 12);
const firstSeed = Number(process.env["RAMA_PSTATE_SEED"] ?? 1);

for (const [name, schema] of Object.entries(schemas)) {
  test(`a PState of ${name} does what the model does`, async () => {
    for (let seed = firstSeed; seed < firstSeed + seeds; seed++) {
      try {
        await new Machine(schema, seed).run(400);
      } catch (error) {
        console.error(`failed with RAMA_PSTATE_SEED=${seed} RAMA_PSTATE_SEEDS=1`);
        throw error;
      }
    }
  });
}
