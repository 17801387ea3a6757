// Bundles that this node's workers run, fetched from the conductor by hash and checked before use. Kept on disk, so that workers start without the conductor.
import { RamaError } from "../../base/errors.ts";
import type { Metastore } from "../../metastore/metastore.ts";
import { fromNode, tree } from "../../metastore/tree.ts";
import type { Platform } from "../../net/platform.ts";
import type { ConductorRecord } from "../../protocol/cluster-records.ts";
import { sha256 } from "../conductor/bundles.ts";

export class BundleCache {
  readonly #platform: Platform;
  readonly #dir: string;
  readonly #metastore: Metastore;
  readonly #fetching = new Map<string, Promise<string>>();

  constructor(platform: Platform, dir: string, metastore: Metastore) {
    this.#platform = platform;
    this.#dir = dir;
    this.#metastore = metastore;
    platform.disk.mkdir(dir);
  }

  /** Path of the bundle's file. CONDUCTOR_UNREACHABLE, BAD_BUNDLE. */
  path(hash: string): Promise<string> {
    const path = `${this.#dir}/${hash}.js`;
    if (this.#platform.disk.exists(path)) return Promise.resolve(path);
    const running = this.#fetching.get(hash);
    if (running) return running;
    const fetching = this.#fetch(hash, path).finally(() => this.#fetching.delete(hash));
    this.#fetching.set(hash, fetching);
    return fetching;
  }

  keepOnly(hashes: ReadonlySet<string>): void {
    for (const name of this.#platform.disk.list(this.#dir)) {
      if (!hashes.has(name.replace(/\.js$/, ""))) this.#platform.disk.remove(`${this.#dir}/${name}`);
    }
  }

  async #fetch(hash: string, path: string): Promise<string> {
    const node = await this.#metastore.get(tree.conductor);
    if (!node)
      throw new RamaError("CONDUCTOR_UNREACHABLE", `no conductor is there to fetch bundle ${hash.slice(0, 12)} from`, {
        hash,
      });
    const { host, uiPort } = fromNode<ConductorRecord>(node.data);
    const url = `http://${host}:${uiPort}/d/bundle/${hash}.js`;
    const response = await this.#platform.http.fetch(url);
    if (!response.ok)
      throw new RamaError("BAD_BUNDLE", `${url} answered ${response.status}`, { url, status: response.status });
    const bytes = new Uint8Array(await response.arrayBuffer());
    if (sha256(bytes) !== hash) throw new RamaError("BAD_BUNDLE", `what ${url} sent does not have that hash`, { url });
    this.#platform.disk.writeFile(path, bytes);
    return path;
  }
}
