// Which records made user code run without end in this worker, kept over its restarts: `<worker dir>/stuck.json`. The third time that the same record does so its
// topology is to be paused, or the worker would end and start for ever. The supervisor takes the pause from here before it starts the worker again, and tells the whole
// module (roles/supervisor/pauses.ts); `resumeTopology` gives the topology another chance.
import type { Disk } from "../../storage/disk.ts";

/** What the main thread found in the stuck note, in names. */
export interface StuckRecord {
  readonly topology: string;
  /** Builder line, such as `app.ts:24`. */
  readonly line: string;
  /** Absent where the record is not known. */
  readonly depot?: string;
  readonly partition: number;
  readonly offset: number;
}

interface StuckFile {
  readonly times: readonly (StuckRecord & { readonly times: number })[];
  /** Topology to reason: not taken by the supervisor yet. */
  readonly paused: Readonly<Record<string, string>>;
}

const timesMax = 3;
/** Records are forgotten oldest first. */
const recordsKept = 100;

export class StuckRecords {
  readonly #disk: Disk;
  readonly #path: string;
  #file: StuckFile = { times: [], paused: {} };

  constructor(disk: Disk, workerDir: string) {
    this.#disk = disk;
    this.#path = `${workerDir}/stuck.json`;
    if (disk.exists(this.#path))
      this.#file = JSON.parse(new TextDecoder().decode(disk.readFile(this.#path))) as StuckFile;
  }

  /** By topology: why it is to be paused. */
  get paused(): Readonly<Record<string, string>> {
    return this.#file.paused;
  }

  /** One more time; durable when it returns. Returns how often it was. */
  note(record: StuckRecord): number {
    const same = (other: StuckRecord): boolean =>
      other.topology === record.topology &&
      other.depot === record.depot &&
      other.partition === record.partition &&
      other.offset === record.offset;
    const { times: known, paused } = this.#file;
    const times = (known.find(same)?.times ?? 0) + 1;
    const others = known.filter((other) => !same(other)).slice(-recordsKept);
    const isPaused = times >= timesMax && record.depot !== undefined;
    this.#write({
      times: [...others, { ...record, times }],
      paused: isPaused
        ? { ...paused, [record.topology]: `${describe(record)} did not return, ${times} times` }
        : paused,
    });
    return times;
  }

  /** Its pause is known elsewhere, or is over: counting begins anew. */
  forget(topology: string): void {
    const { [topology]: _, ...paused } = this.#file.paused;
    const times = this.#file.times.filter((record) => record.topology !== topology);
    if (times.length < this.#file.times.length || topology in this.#file.paused) this.#write({ times, paused });
  }

  #write(file: StuckFile): void {
    this.#file = file;
    this.#disk.writeFile(this.#path, new TextEncoder().encode(JSON.stringify(file)));
  }
}

export function describe({ topology, line, depot, partition, offset }: StuckRecord): string {
  return depot === undefined
    ? `${topology} at ${line}`
    : `${topology} at ${line}: ${depot} partition ${partition} offset ${offset}`;
}
