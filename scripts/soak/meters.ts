// Resident memory and descriptors of processes over time, from /proc: samples by name, the slope of their last part by least squares. A process that was killed and
// started again is another one: a name's samples of an earlier pid do not count for its slope.
import { readdirSync, readFileSync } from "node:fs";

export interface Sample {
  readonly atMs: number;
  readonly rssMb: number;
  readonly descriptors: number;
}

interface Metered {
  pid: number;
  lives: number;
  peakRssMb: number;
  peakDescriptors: number;
  samples: Sample[];
}

export interface MeterRow {
  readonly name: string;
  readonly lives: number;
  readonly firstRssMb: number;
  readonly lastRssMb: number;
  readonly peakRssMb: number;
  /** Of the last life since `since`. */
  readonly slopeMbPerHour: number;
  readonly firstDescriptors: number;
  readonly lastDescriptors: number;
  readonly peakDescriptors: number;
}

/** Undefined when there is no such process. */
export function measure(pid: number, atMs = performance.now()): Sample | undefined {
  try {
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    const rss = /^VmRSS:\s+(\d+) kB$/m.exec(status);
    if (rss === null) return undefined;
    return { atMs, rssMb: Number(rss[1]) / 1024, descriptors: readdirSync(`/proc/${pid}/fd`).length };
  } catch {
    return undefined;
  }
}

export class Meters {
  readonly #processes: () => Iterable<readonly [name: string, pid: number]>;
  readonly #metered = new Map<string, Metered>();

  constructor(processes: () => Iterable<readonly [string, number]>) {
    this.#processes = processes;
  }

  sample(): void {
    for (const [name, pid] of this.#processes()) {
      const sample = measure(pid);
      if (sample === undefined) continue;
      let metered = this.#metered.get(name);
      if (metered === undefined) {
        metered = { pid, lives: 1, peakRssMb: 0, peakDescriptors: 0, samples: [] };
        this.#metered.set(name, metered);
      }
      if (metered.pid !== pid) {
        metered.pid = pid;
        metered.lives++;
        metered.samples = [];
      }
      metered.samples.push(sample);
      metered.peakRssMb = Math.max(metered.peakRssMb, sample.rssMb);
      metered.peakDescriptors = Math.max(metered.peakDescriptors, sample.descriptors);
    }
  }

  /** Of those that were seen after `sinceMs`; what was before counts for the peaks alone. */
  rows(sinceMs: number): MeterRow[] {
    const rows: MeterRow[] = [];
    for (const [name, { lives, peakRssMb, peakDescriptors, samples }] of this.#metered) {
      const late = samples.filter(({ atMs }) => atMs >= sinceMs);
      const [first, last] = [late[0], late.at(-1)];
      if (first === undefined || last === undefined) continue;
      rows.push({
        name,
        lives,
        firstRssMb: first.rssMb,
        lastRssMb: last.rssMb,
        peakRssMb,
        slopeMbPerHour: slope(late.map(({ atMs, rssMb }) => [atMs / 3_600_000, rssMb])),
        firstDescriptors: first.descriptors,
        lastDescriptors: last.descriptors,
        peakDescriptors,
      });
    }
    return rows.sort((a, b) => (a.name < b.name ? -1 : 1));
  }
}

/** Of the least squares' line; 0 for less than two points. */
export function slope(points: readonly (readonly [x: number, y: number])[]): number {
  const n = points.length;
  if (n < 2) return 0;
  const meanX = points.reduce((sum, [x]) => sum + x, 0) / n;
  const meanY = points.reduce((sum, [, y]) => sum + y, 0) / n;
  let xy = 0;
  let xx = 0;
  for (const [x, y] of points) {
    xy += (x - meanX) * (y - meanY);
    xx += (x - meanX) ** 2;
  }
  return xx === 0 ? 0 : xy / xx;
}
