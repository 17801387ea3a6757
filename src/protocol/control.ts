// Calls to the conductor, to supervisors and to the hello ports of workers, over `net/rpc.ts`; bodies are CBOR. Method numbers stand in `table.ts`.
import type { OptionSetting } from "./cluster-records.ts";

/** GET_VERSION and the first thing a client asks. */
export interface VersionAnswer {
  readonly release: string;
  readonly protocol: number;
  readonly role: "conductor" | "supervisor" | "worker";
}

/** GET_PEERS: `host:port` of everyone who answers GET_ROUTES. */
export interface PeersAnswer {
  readonly conductor: string | null;
  readonly supervisors: readonly string[];
}

/** SET_WORKER_OPTIONS: everything that is set; what is left out has its default again. */
export interface SetWorkerOptions {
  readonly options: readonly OptionSetting[];
}

/** PAUSE_TOPOLOGY */
export interface PauseTopology {
  readonly topology: string;
  readonly paused: boolean;
  /** Of a pause: why. */
  readonly reason?: string;
  /** Its user code did not return. */
  readonly stuck?: boolean;
}

/** DEAD_LETTERS. What is left out of `choice` does not matter. */
export interface DeadLettersCall {
  readonly action: "list" | "retry" | "drop";
  readonly choice: {
    readonly topology?: string;
    readonly depot?: string;
    readonly partition?: number;
    readonly offset?: number;
  };
}

export interface DeadLettersAnswer {
  /** Of "list". */
  readonly letters: readonly DeadLetterRow[];
  /** Of the others: how many began to be retried, or were dropped. */
  readonly count: number;
}

export interface DeadLetterRow {
  readonly topology: string;
  readonly depot: string;
  /** Of the source; "" where the topology has one source on the depot. */
  readonly sourceId: string;
  readonly partition: number;
  readonly offset: number;
  readonly failures: number;
  readonly retrying: boolean;
  readonly setAsideMs: number;
  readonly code: string;
  readonly error: string;
  /** As JSON; cut where it is long. */
  readonly record: string;
}

/** True when a client of release `ours` can work with a cluster of release `theirs`: major and minor version are the same. */
export function compatibleReleases(ours: string, theirs: string): boolean {
  const [a, b] = [ours, theirs].map((release) => release.split(".").slice(0, 2).join("."));
  return a === b;
}
