// What the engine thread runs, in shared memory: the worker's main thread reads it when the thread has not turned for `worker.stuck.event.seconds`,
// since a thread in an endless loop cannot tell by itself. Written at each step into user code, so every field is one store.
//   i32 words: 0 turn (counts up; odd while one runs) | 1 topology + 1 | 2 node (index in CompiledTopology.lines) | 3 depot + 1 | 4 task | 5 offset low | 6 offset high
//   | 7 partition of the record
export const stuckNoteBytes = 64;

const TURN = 0;
const TOPOLOGY = 1;
const NODE = 2;
const DEPOT = 3;
const TASK = 4;
const OFFSET_LOW = 5;
const OFFSET_HIGH = 6;
const PARTITION = 7;

const wordSpan = 0x1_0000_0000;

export interface StuckNoteContent {
  readonly turn: number;
  readonly running: boolean;
  readonly topology: number | undefined;
  readonly node: number;
  readonly depot: number | undefined;
  readonly task: number;
  /** Of the depot, where the record is known. */
  readonly partition: number;
  readonly offset: number;
}

export class StuckNote {
  readonly #words: Int32Array;

  constructor(memory: SharedArrayBuffer | undefined) {
    this.#words = new Int32Array(memory ?? new ArrayBuffer(stuckNoteBytes));
  }

  turnBegins(): void {
    this.#words[TURN]! |= 1;
  }

  turnEnds(): void {
    this.#words[TURN] = (this.#words[TURN]! | 1) + 1;
    this.#words[TOPOLOGY] = 0;
  }

  topology(index: number, task: number): void {
    const words = this.#words;
    words[TOPOLOGY] = index + 1;
    words[NODE] = 0;
    words[DEPOT] = 0;
    words[TASK] = task;
  }

  /** `partition` where it is not the task that runs. */
  record(depot: number, offset: number, partition = this.#words[TASK]!): void {
    const words = this.#words;
    words[DEPOT] = depot + 1;
    words[PARTITION] = partition;
    words[OFFSET_LOW] = offset | 0;
    words[OFFSET_HIGH] = Math.floor(offset / wordSpan);
  }

  get node(): number {
    return this.#words[NODE]!;
  }

  set node(index: number) {
    this.#words[NODE] = index;
  }
}

export function readStuckNote(memory: SharedArrayBuffer): StuckNoteContent {
  const words = new Int32Array(memory);
  const index = (word: number) => (words[word] === 0 ? undefined : words[word]! - 1);
  return {
    turn: words[TURN]!,
    running: (words[TURN]! & 1) === 1,
    topology: index(TOPOLOGY),
    node: words[NODE]!,
    depot: index(DEPOT),
    task: words[TASK]!,
    partition: words[PARTITION]!,
    offset: words[OFFSET_HIGH]! * wordSpan + (words[OFFSET_LOW]! >>> 0),
  };
}
