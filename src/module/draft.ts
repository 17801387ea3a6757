// A module while `define` runs: what Setup and Topologies have declared so far, each with the line of its declaration. `build.ts` freezes it.
import { builderLine } from "../base/builder-line.ts";
import { type ErrorCode, RamaError } from "../base/errors.ts";
import type { GrowingBlock } from "../dataflow/builder.ts";
import type { DepotPartitioning, DynamicOption, MirrorDefinition, SourceDefinition } from "./definition.ts";
import type { SchemaNode } from "./schema.ts";

export interface DepotDraft {
  readonly name: string;
  readonly line: string;
  readonly partitioning: DepotPartitioning;
  readonly tickMs: number | undefined;
  global: boolean;
  migration: { readonly id: string; readonly fn: (record: any) => unknown } | undefined;
}

export interface PStateDraft {
  readonly name: string;
  readonly line: string;
  readonly schema: SchemaNode;
  readonly topology: TopologyDraft;
  global: boolean;
  private: boolean;
  initial: { readonly value: unknown } | undefined;
  keyPartitioner: ((numPartitions: number, key: any) => number) | undefined;
}

export interface SourceDraft {
  readonly line: string;
  readonly depotName: string;
  readonly settings: Pick<SourceDefinition, "sourceId" | "startFrom" | "retry" | "deadLetterAfter" | "ackReturnAgg">;
  readonly block: GrowingBlock;
}

export interface TopologyDraft {
  readonly name: string;
  readonly line: string;
  readonly kind: "stream" | "microbatch" | "query";
  readonly sources: SourceDraft[];
  readonly inputs: readonly string[];
  output: string | undefined;
  temporary: string | undefined;
  block: GrowingBlock | undefined;
}

export interface GlobalDraft {
  readonly name: string;
  readonly line: string;
  readonly value: unknown;
}

export type MirrorDraft = Omit<MirrorDefinition, "index"> & { readonly line: string };
export type OptionDraft = DynamicOption & { readonly line: string };

export class ModuleDraft {
  readonly depots: DepotDraft[] = [];
  readonly pstates: PStateDraft[] = [];
  readonly globals: GlobalDraft[] = [];
  readonly mirrors: MirrorDraft[] = [];
  readonly topologies: TopologyDraft[] = [];
  readonly options: OptionDraft[] = [];

  /** DUPLICATE_NAME when one of the module's own names is taken. */
  claim(name: string, line: string): void {
    const taken = [...this.depots, ...this.pstates, ...this.globals, ...this.mirrors].find(
      (each) => each.name === name,
    );
    if (taken !== undefined)
      throw declarationError("DUPLICATE_NAME", line, `${name} is declared already, at ${taken.line}`, { name });
  }
}

export function declarationError(
  code: ErrorCode,
  line: string,
  message: string,
  facts: Record<string, unknown> = {},
): RamaError {
  return new RamaError(code, `${line}: ${message}`, { line, ...facts });
}

/** Runs a declaration; what it throws is told with the line of the author's call. */
export function declared<T>(declare: (line: string) => T): T {
  const line = builderLine();
  try {
    return declare(line);
  } catch (error) {
    if (!(error instanceof RamaError) || error.facts["line"] !== undefined) throw error;
    throw declarationError(error.code, line, error.message, error.facts);
  }
}

/** A name that vars of this kind may have: `*name`, `$$name`. */
export function checkVar(name: unknown, sign: "*" | "$$", what: string): asserts name is string {
  if (typeof name === "string" && name.startsWith(sign) && name.length > sign.length && !/\s/.test(name)) return;
  throw new RamaError(
    "BAD_MODULE",
    `${what} is named "${sign}name", not ${typeof name === "string" ? JSON.stringify(name) : String(name)}`,
    { name },
  );
}

export function checkName(name: unknown, what: string): asserts name is string {
  if (typeof name === "string" && name.length > 0 && !/[\s/]/.test(name)) return;
  throw new RamaError("BAD_MODULE", `${what} is named by a string without spaces and slashes`, { name });
}
