// A full disk is seen before it happens: appends are refused while a file system has less free space than `disk.min.free` says; reads and flushes go on. Nothing has to
// be switched back: each question looks again, at most twice a second (2 us).
import type { Env } from "../base/env.ts";
import { RamaError } from "../base/errors.ts";
import type { Disk } from "./disk.ts";

const checkEveryMs = 500;

export interface MinimumFree {
  /** 0 … 1 of the file system. */
  readonly share: number;
  readonly bytes: number;
}

const unitBytes: Readonly<Record<string, number>> = { "": 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3, t: 1024 ** 4 };

/** "5%,1g": a share, a number of bytes, or both. BAD_CONFIG. */
export function parseMinimumFree(text: string): MinimumFree {
  let share = 0;
  let bytes = 0;
  for (const part of text.split(",").map((each) => each.trim().toLowerCase())) {
    const [, number, unit] = /^(\d+(?:\.\d+)?)\s*(%|[kmgt]?)b?$/.exec(part) ?? [];
    if (number === undefined || (unit === "%" && Number(number) > 100)) {
      throw new RamaError(
        "BAD_CONFIG",
        `disk.min.free: ${JSON.stringify(text)}; write a share and bytes, such as 5%,1g`,
        { text },
      );
    }
    if (unit === "%") share = Number(number) / 100;
    else bytes = Number(number) * unitBytes[unit!]!;
  }
  return { share, bytes };
}

export class SpaceGuard {
  readonly #env: Env;
  readonly #disk: Disk;
  readonly #path: string;
  #minimum: MinimumFree;
  #checkedMs = Number.NEGATIVE_INFINITY;
  #refusal: RamaError | null = null;

  constructor(options: { env: Env; disk: Disk; path: string; minimum: MinimumFree }) {
    this.#env = options.env;
    this.#disk = options.disk;
    this.#path = options.path;
    this.#minimum = options.minimum;
  }

  set minimum(minimum: MinimumFree) {
    this.#minimum = minimum;
    this.#checkedMs = Number.NEGATIVE_INFINITY;
  }

  /** DISK_FULL with the path while appends must be refused; null otherwise. */
  get refusal(): RamaError | null {
    const nowMs = this.#env.monotonicMs();
    if (nowMs - this.#checkedMs < checkEveryMs) return this.#refusal;
    this.#checkedMs = nowMs;
    const before = this.#refusal;
    this.#refusal = this.#check();
    if (before === null && this.#refusal !== null) this.#env.log.warn(`appends are refused: ${this.#refusal.message}`);
    if (before !== null && this.#refusal === null) this.#env.log.info("appends are taken again", { path: this.#path });
    return this.#refusal;
  }

  #check(): RamaError | null {
    const { freeBytes, totalBytes } = this.#disk.space(this.#path);
    const minimum = Math.max(this.#minimum.bytes, this.#minimum.share * totalBytes);
    if (freeBytes >= minimum) return null;
    const message = `${this.#path}: ${megabytes(freeBytes)} are free, disk.min.free asks for ${megabytes(minimum)}`;
    return new RamaError("DISK_FULL", message, { path: this.#path, freeBytes, minimum });
  }
}

const megabytes = (bytes: number): string => `${(bytes / 1024 ** 2).toFixed(0)} MB`;
