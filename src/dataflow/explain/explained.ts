// A module's plan as plain data: what `rama explain` prints (words.ts), draws (diagram.ts) and gives as JSON. `outline.ts` makes it.

export interface ExplainedModule {
  readonly module: string;
  readonly objects: readonly ExplainedObject[];
  readonly topologies: readonly ExplainedTopology[];
}

/** A depot, PState, task global or mirror, with a line about it. */
export interface ExplainedObject {
  readonly kind: "depot" | "pstate" | "global" | "mirror";
  readonly name: string;
  readonly about: string;
}

export interface ExplainedTopology {
  readonly name: string;
  readonly kind: "stream" | "microbatch" | "query";
  /** What is one transaction here, in a sentence. */
  readonly transaction: string;
  /** What the client or the cluster does to start it. */
  readonly start: string;
  /** Straight pieces of code between two moves or waits, numbered from 1. */
  readonly stages: readonly ExplainedStage[];
  readonly edges: readonly ExplainedEdge[];
  readonly reads: readonly string[];
  readonly writes: readonly string[];
}

export interface ExplainedStage {
  readonly stage: number;
  /** The builder call that it begins with. */
  readonly title: string;
  /** On which task. */
  readonly where: string;
  /** What comes with it, from the record or from the stage before. */
  readonly takes: readonly string[];
  readonly steps: readonly ExplainedStep[];
  /** Of a batch block: the builder's line, and the phase from 1. */
  readonly batch: { readonly line: string; readonly phase: number } | undefined;
}

/** "write" stands for reads that a write needs, too. */
export type StepKind = "compute" | "read" | "write" | "branch" | "go" | "answer";

export interface ExplainedStep {
  readonly line: string;
  readonly kind: StepKind;
  readonly text: string;
  readonly pstates: readonly string[];
  /** Code that runs within the step: branches, a loop's body, what is met. */
  readonly inside: readonly { readonly label: string; readonly steps: readonly ExplainedStep[] }[];
}

export interface ExplainedEdge {
  readonly from: number;
  readonly to: number;
  /** "move": to other tasks; "wait": the same task, later; "phase": when the whole phase before has ended everywhere. */
  readonly kind: "move" | "wait" | "phase";
  /** How, or for what. */
  readonly how: string;
  readonly carries: readonly string[];
  /** What was written before is committed before this leaves. */
  readonly commits: boolean;
}
