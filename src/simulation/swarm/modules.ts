// The modules that swarm runs drive: small, and such that a lost, doubled or reordered step shows in what they keep.
import { Agg } from "../../aggregators/agg.ts";
import { CompoundAgg } from "../../aggregators/compound.ts";
import { Depot } from "../../module/depot-partitioning.ts";
import { RamaModule } from "../../module/module.ts";
import { MicrobatchSourceOptions, StreamSourceOptions } from "../../module/source-options.ts";
import { PState } from "../../module/pstate-schema.ts";
import type { Setup } from "../../module/setup.ts";
import type { Topologies } from "../../module/topologies.ts";
import { Path } from "../../paths/path.ts";

/** A record of `*events`. `id` is its own in the whole run. */
export interface SimEvent {
  readonly id: number;
  readonly key: string;
  /** Another key, counted on its own task. */
  readonly to: string;
}

export interface Transfer {
  readonly id: number;
  readonly from: string;
  readonly to: string;
  readonly amt: number;
}

/** Asked by the user code of the modules below; throws while a run wants user code to throw. */
export const userCode: { check: () => void } = { check: () => {} };

export function foldStep(hash: number, id: number): number {
  return (Math.imul(hash, 31) + id) | 0;
}

/** Stream: per key how many events, and the fold of their ids; per target how many. */
export class LedgerModule extends RamaModule {
  override getModuleName(): string {
    return "Ledger";
  }

  define(setup: Setup, topologies: Topologies): void {
    setup.declareDepot("*events", Depot.hashBy("key"));
    const stream = topologies.stream("ledger");
    stream.pstate("$$counts", PState.mapSchema(String, Number));
    stream.pstate("$$folds", PState.mapSchema(String, Number));
    stream.pstate("$$inbox", PState.mapSchema(String, Number));
    stream.pstate("$$later", PState.mapSchema(String, Number));
    stream
      .source("*events")
      .out("*event")
      .each((event: SimEvent) => {
        userCode.check();
        return event;
      }, "*event")
      .out({ id: "*id", key: "*key", to: "*to" })
      .localTransform("$$folds", Path.key("*key").nullToVal(7).term(foldStep, "*id"))
      .compoundAgg("$$counts", CompoundAgg.map("*key", Agg.count()))
      .hashPartition("*to")
      .compoundAgg("$$inbox", CompoundAgg.map("*to", Agg.count()))
      // From here on the tree spans several turns, whatever the engines.
      .eachAsync(async (to: string) => to, "*to")
      .out("*again")
      .hashPartition("*key")
      .compoundAgg("$$later", CompoundAgg.map("*key", Agg.count()));
    topologies
      .query("total")
      .out("*total")
      .allPartition()
      .localSelect("$$counts", Path.mapVals())
      .out("*count")
      .originPartition()
      .agg(Agg.sum("*count"))
      .out("*total");
  }
}

/** Reads the events of Ledger from another module, by stream and by microbatch. */
export class AuditModule extends RamaModule {
  override getModuleName(): string {
    return "Audit";
  }

  define(setup: Setup, topologies: Topologies): void {
    setup.clusterDepot("*events", "Ledger", "*events");
    const stream = topologies.stream("live");
    stream.pstate("$$live", PState.mapSchema(String, Number));
    stream
      .source("*events", StreamSourceOptions.startFromBeginning())
      .out({ key: "*key" })
      .hashPartition("*key")
      .compoundAgg("$$live", CompoundAgg.map("*key", Agg.count()));
    const batches = topologies.microbatch("batches");
    batches.pstate("$$batched", PState.mapSchema(String, Number));
    batches
      .source("*events", MicrobatchSourceOptions.startFromBeginning())
      .out("*mb")
      .explodeMicrobatch("*mb")
      .out({ key: "*key" })
      .hashPartition("*key")
      .compoundAgg("$$batched", CompoundAgg.map("*key", Agg.count()));
  }
}

/** Comes and goes. */
export class ScratchModule extends RamaModule {
  override getModuleName(): string {
    return "Scratch";
  }

  define(setup: Setup, topologies: Topologies): void {
    setup.declareDepot("*events", Depot.random());
    const stream = topologies.stream("scratch");
    stream.pstate("$$counts", PState.mapSchema(String, Number));
    stream.source("*events").out("*key").compoundAgg("$$counts", CompoundAgg.map("*key", Agg.count()));
  }
}

/** Microbatch: money between accounts on any tasks, and how often each transfer was seen. */
export class BankModule extends RamaModule {
  override getModuleName(): string {
    return "Bank";
  }

  define(setup: Setup, topologies: Topologies): void {
    setup.declareDepot("*transfers", Depot.hashBy("from"));
    const bank = topologies.microbatch("bank");
    bank.pstate("$$funds", PState.mapSchema(String, Number));
    bank.pstate("$$seen", PState.mapSchema(Number, Number));
    // By group of accounts, all of which are on one task: what a group has changes by nothing, at every moment.
    bank.pstate("$$groups", PState.mapSchema(String, PState.mapSchema(String, Number)));
    bank
      .source("*transfers")
      .out("*mb")
      .explodeMicrobatch("*mb")
      .out("*transfer")
      .each((transfer: Transfer) => {
        userCode.check();
        return { ...transfer, group: groupOf(transfer.from) };
      }, "*transfer")
      .out({ id: "*id", from: "*from", to: "*to", amt: "*amt", group: "*group" })
      .compoundAgg("$$seen", CompoundAgg.map("*id", Agg.count()))
      .hashPartition("*group")
      .localTransform("$$groups", Path.key("*group", "*from").nullToVal(0).term(minus, "*amt"))
      .localTransform("$$groups", Path.key("*group", "*to").nullToVal(0).term(plus, "*amt"))
      .hashPartition("*from")
      .localTransform("$$funds", Path.key("*from").nullToVal(0).term(minus, "*amt"))
      .hashPartition("*to")
      .localTransform("$$funds", Path.key("*to").nullToVal(0).term(plus, "*amt"));
  }
}

export function groupOf(account: string): string {
  return `g${account.charCodeAt(account.length - 1) % 3}`;
}

function minus(a: number, b: number): number {
  return a - b;
}

function plus(a: number, b: number): number {
  return a + b;
}
