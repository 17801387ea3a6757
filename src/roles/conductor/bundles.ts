// The conductor's store of module bundles: one file per hash below <local.dir>/conductor/bundles. A bundle arrives in pieces, is checked against its SHA-256
// and is durable before the launch that names it is recorded.
import { createHash } from "node:crypto";
import { RamaError } from "../../base/errors.ts";
import type { PutBundle } from "../../protocol/conductor.ts";
import type { Disk } from "../../storage/disk.ts";

export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

const sentKeptMs = 10 * 60_000;

export class BundleStore {
  readonly #disk: Disk;
  readonly #dir: string;
  readonly #maxBytes: number;
  /** Uploads under way, by hash. A new upload of the same hash starts over at offset 0. */
  readonly #partial = new Map<string, Uint8Array>();
  /** When each was sent last: the launch that is to name it may be on its way. */
  readonly #sentMs = new Map<string, number>();
  readonly #nowMs: () => number;

  /** `nowMs` is monotonic. */
  constructor(disk: Disk, dir: string, maxBytes: number, nowMs: () => number) {
    this.#disk = disk;
    this.#nowMs = nowMs;
    this.#dir = dir;
    this.#maxBytes = maxBytes;
    disk.mkdir(dir);
  }

  /** True once the bundle is whole and durable. BAD_BUNDLE, TOO_LARGE. */
  put(piece: PutBundle): boolean {
    const { hash, offset, total, bytes } = piece;
    if (!/^[0-9a-f]{64}$/.test(hash))
      throw new RamaError("BAD_BUNDLE", "a bundle is named by its SHA-256 in hex", { hash });
    this.#sentMs.set(hash, this.#nowMs());
    if (this.has(hash)) return true;
    if (total > this.#maxBytes) {
      const message = `the bundle has ${total} bytes, limit.bundle.bytes is ${this.#maxBytes}`;
      throw new RamaError("TOO_LARGE", message, { bytes: total, limit: this.#maxBytes, setting: "limit.bundle.bytes" });
    }
    let whole = this.#partial.get(hash);
    if (offset === 0 || whole === undefined) {
      if (offset !== 0)
        throw new RamaError("BAD_BUNDLE", `a bundle's upload starts at offset 0, got ${offset}`, { hash });
      whole = new Uint8Array(total);
      this.#partial.set(hash, whole);
    }
    if (offset + bytes.length > whole.length)
      throw new RamaError("BAD_BUNDLE", "a piece runs past the bundle's end", { hash, offset });
    whole.set(bytes, offset);
    if (offset + bytes.length < total) return false;
    this.#partial.delete(hash);
    if (sha256(whole) !== hash)
      throw new RamaError("BAD_BUNDLE", "the bundle's bytes do not have the hash that it was sent under", { hash });
    this.#disk.writeFile(this.#path(hash), whole);
    return true;
  }

  has(hash: string): boolean {
    return this.#disk.exists(this.#path(hash));
  }

  read(hash: string): Uint8Array {
    return this.#disk.readFile(this.#path(hash));
  }

  /** Deletes every bundle that no module names, and that was not sent lately. */
  keepOnly(hashes: ReadonlySet<string>): void {
    const sinceMs = this.#nowMs() - sentKeptMs;
    for (const [hash, ms] of this.#sentMs) if (ms < sinceMs) this.#sentMs.delete(hash);
    for (const name of this.#disk.list(this.#dir)) {
      const hash = name.replace(/\.js$/, "");
      if (!hashes.has(hash) && !this.#partial.has(hash) && !this.#sentMs.has(hash))
        this.#disk.remove(`${this.#dir}/${name}`);
    }
  }

  #path(hash: string): string {
    return `${this.#dir}/${hash}.js`;
  }
}
