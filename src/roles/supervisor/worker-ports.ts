// Which ports of `supervisor.port.range` are free to give. Ports that this supervisor has given are remembered; one that a stranger holds is found out by
// the worker, whose next start gets others, since the search goes on from the last one given.
import { RamaError } from "../../base/errors.ts";

export class WorkerPorts {
  readonly #first: number;
  readonly #count: number;
  readonly #given = new Map<string, readonly number[]>();
  #next = 0;

  /** `range` is [first, last], or 0: every port is then 0, and the system picks. */
  constructor(range: readonly [number, number] | 0) {
    this.#first = range === 0 ? 0 : range[0];
    this.#count = range === 0 ? 0 : range[1] - range[0] + 1;
  }

  /** PORT_IN_USE when the range is used up. Ports that `holder` had before are given back. */
  take(holder: string, wanted: number): number[] {
    this.release(holder);
    if (this.#count === 0) return Array.from({ length: wanted }, () => 0);
    const used = new Set([...this.#given.values()].flat());
    const ports: number[] = [];
    for (let tries = 0; tries < this.#count && ports.length < wanted; tries++) {
      const port = this.#first + (this.#next++ % this.#count);
      if (!used.has(port)) ports.push(port);
    }
    if (ports.length < wanted) {
      throw new RamaError(
        "PORT_IN_USE",
        `supervisor.port.range has ${this.#count} ports, ${used.size} are given and ${wanted} more are needed`,
        {
          wanted,
          given: used.size,
        },
      );
    }
    this.#given.set(holder, ports);
    return ports;
  }

  /** Ports of a worker that was adopted. */
  note(holder: string, ports: readonly number[]): void {
    if (this.#count > 0) this.#given.set(holder, ports);
  }

  /** A stranger holds it. */
  avoid(port: number): void {
    this.#given.set(`stranger on ${port}`, [port]);
  }

  release(holder: string): void {
    this.#given.delete(holder);
  }
}
