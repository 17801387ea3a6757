// `Topologies`: the code of a module. A stream or microbatch topology has PStates and sources; `source` opens a block to which every further call appends.
import { builderLine } from "../base/builder-line.ts";
import { RamaError } from "../base/errors.ts";
import { type Block, GrowingBlock } from "../dataflow/builder.ts";
import { type DepotVar, isPStateVar, isValueVar, type PStateVar, type ValueVar } from "../paths/arg.ts";
import {
  checkName,
  checkVar,
  declarationError,
  declared,
  type ModuleDraft,
  type PStateDraft,
  type TopologyDraft,
} from "./draft.ts";
import { type SchemaArg, topSchema } from "./pstate-schema.ts";
import {
  type MicrobatchSourceOptions,
  type SourceLiteral,
  type StreamSourceLiteral,
  type StreamSourceOptions,
  sourceSettings,
} from "./source-options.ts";

/** What `pstate` returns. */
export class PStateDeclaration {
  readonly #pstate: PStateDraft;

  constructor(pstate: PStateDraft) {
    this.#pstate = pstate;
  }

  /** One partition, on task 0. */
  global(): this {
    this.#pstate.global = true;
    return this;
  }

  /** Of each partition, when it is new and after localClear. For a PState whose schema is a class. */
  initialValue(value: unknown): this {
    return declared(() => {
      const { schema, name } = this.#pstate;
      if (schema.kind !== "leaf")
        throw new RamaError(
          "BAD_SCHEMA",
          `${name} has a schema of ${schema.kind}: only one with a class takes an initialValue; a map starts empty`,
          { pstate: name },
        );
      this.#pstate.initial = { value };
      return this;
    });
  }

  /** Only this module's code reads it. */
  makePrivate(): this {
    this.#pstate.private = true;
    return this;
  }

  /** `(numPartitions, key) => partition`: where clients, `select` and `pathPartition` look for a key. */
  keyPartitioner(partitioner: (numPartitions: number, key: any) => number): this {
    return declared(() => {
      if (typeof partitioner !== "function")
        throw new RamaError("BAD_MODULE", "keyPartitioner takes a function (numPartitions, key) => partition");
      this.#pstate.keyPartitioner = partitioner;
      return this;
    });
  }
}

/** A stream or microbatch topology. */
export abstract class EtlTopology<Options> {
  readonly #draft: ModuleDraft;
  readonly #topology: TopologyDraft;

  constructor(draft: ModuleDraft, topology: TopologyDraft) {
    this.#draft = draft;
    this.#topology = topology;
  }

  /** A PState that this topology writes. */
  pstate(name: PStateVar, schema: SchemaArg): PStateDeclaration {
    return declared((line) => {
      checkVar(name, "$$", "a PState");
      this.#draft.claim(name, line);
      const pstate: PStateDraft = {
        name,
        line,
        schema: topSchema(schema, name),
        topology: this.#topology,
        global: false,
        private: false,
        initial: undefined,
        keyPartitioner: undefined,
      };
      this.#draft.pstates.push(pstate);
      return new PStateDeclaration(pstate);
    });
  }

  /** Opens the code that runs for the depot's records: `.out("*record")`, then any method of Block. */
  source(depot: DepotVar, options?: Options): Block {
    return declared((line) => {
      if (!isValueVar(depot))
        throw new RamaError("BAD_MODULE", `source takes a depot such as "*orders", not ${String(depot)}`);
      const settings = sourceSettings(options as StreamSourceOptions | undefined, this.#topology.kind as "stream");
      if (settings.retry === "none" && settings.sourceId !== "")
        throw new RamaError("BAD_MODULE", `a source with a sourceId retries: leave out retryNone, or the sourceId`);
      const same = this.#topology.sources.find(
        (each) => each.depotName === depot && each.settings.sourceId === settings.sourceId,
      );
      if (same !== undefined) {
        throw new RamaError(
          "DUPLICATE_NAME",
          `${this.#topology.name} reads ${depot} already, at ${same.line}: give one of the sources a sourceId`,
          { depot },
        );
      }
      const block = new GrowingBlock({ kind: "source", depot }, line);
      this.#topology.sources.push({ line, depotName: depot, settings, block });
      return block;
    });
  }
}

export class StreamTopology extends EtlTopology<StreamSourceOptions | StreamSourceLiteral> {}
export class MicrobatchTopology extends EtlTopology<MicrobatchSourceOptions | SourceLiteral> {}

/** `topologies.query("total", "*user")`, to be finished by `.out("*sum")`. */
export class QueryDeclaration {
  readonly #topology: TopologyDraft;

  constructor(topology: TopologyDraft) {
    this.#topology = topology;
  }

  /** Names the query's temporary state; `$$<query>$$` works too. */
  temporary(name: PStateVar): this {
    return declared(() => {
      if (!isPStateVar(name))
        throw new RamaError("BAD_MODULE", `temporary state is named "$$name", not ${String(name)}`);
      this.#topology.temporary = name;
      return this;
    });
  }

  /** The var that holds the result at the end; then any method of Block. */
  out(name: ValueVar): Block {
    return declared(() => {
      if (!isValueVar(name))
        throw new RamaError("BAD_MODULE", `the output of a query is a var such as "*result", not ${String(name)}`);
      this.#topology.output = name;
      this.#topology.block = new GrowingBlock({ kind: "inputs", vars: this.#topology.inputs }, this.#topology.line);
      return this.#topology.block;
    });
  }
}

export class Topologies {
  readonly #draft: ModuleDraft;

  constructor(draft: ModuleDraft) {
    this.#draft = draft;
  }

  /** Per record, within milliseconds, at least once. */
  stream(name: string): StreamTopology {
    return new StreamTopology(this.#draft, this.#declare("stream", name, []));
  }

  /** In batches, exactly once. */
  microbatch(name: string): MicrobatchTopology {
    return new MicrobatchTopology(this.#draft, this.#declare("microbatch", name, []));
  }

  /** A function over the module's PStates, distributed and on demand. */
  query(name: string, ...inputs: ValueVar[]): QueryDeclaration {
    return new QueryDeclaration(this.#declare("query", name, inputs));
  }

  #declare(kind: TopologyDraft["kind"], name: string, inputs: readonly string[]): TopologyDraft {
    const line = builderLine();
    return declared(() => {
      checkName(name, `a ${kind} topology`);
      const same = this.#draft.topologies.find((each) => each.name === name);
      if (same !== undefined)
        throw declarationError("DUPLICATE_NAME", line, `the topology ${name} is declared already, at ${same.line}`, {
          name,
        });
      const bad = inputs.find((input) => !isValueVar(input));
      if (bad !== undefined)
        throw new RamaError("BAD_MODULE", `an input of a query is a var such as "*user", not ${String(bad)}`);
      if (new Set(inputs).size !== inputs.length)
        throw new RamaError("DUPLICATE_NAME", `two inputs of ${name} have the same name`, { name });
      const topology: TopologyDraft = {
        name,
        line,
        kind,
        sources: [],
        inputs: Object.freeze([...inputs]),
        output: undefined,
        temporary: undefined,
        block: undefined,
      };
      this.#draft.topologies.push(topology);
      return topology;
    });
  }
}
