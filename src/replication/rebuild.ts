// A replica whose store is damaged gives it up: the store is set aside (`<dir>.damaged`, the newest one is kept for whoever wants to look), an empty one takes its place, and
// the group's leader fills it as it does for any replica that lacks something. Until that is so the replica lacks entries that it once confirmed, so it must not lead,
// though the metastore may still have it among those in sync: `<dir>.rebuilding` says so, over restarts.
import type { Disk } from "../storage/disk.ts";
import type { GroupRecord } from "./group-record.ts";
import type { ReplicaOptions } from "./replica-contract.ts";

const marker = new TextEncoder().encode("This replica lacks committed entries until its leader has filled it again.\n");

export const isRebuilding = (disk: Disk, dir: string): boolean => disk.exists(`${dir}.rebuilding`);

/** The store is closed. */
export function setAside(disk: Disk, dir: string): void {
  disk.writeFile(`${dir}.rebuilding`, marker);
  disk.removeTree(`${dir}.damaged`);
  disk.rename(dir, `${dir}.damaged`);
  disk.syncDir(parentOf(dir));
}

/** It has everything again that was committed. */
export function rebuilt(disk: Disk, dir: string): void {
  disk.remove(`${dir}.rebuilding`);
  disk.syncDir(parentOf(dir));
}

/** Whether a replica is being rebuilt, and when it has been. */
export class Rebuilding {
  readonly #options: ReplicaOptions;
  #isOn: boolean;
  /** Everything that was committed lies below. */
  #upTo: number | undefined;

  constructor(options: ReplicaOptions) {
    this.#options = options;
    this.#isOn = options.store.rebuilding;
  }

  get isOn(): boolean {
    return this.#isOn;
  }

  /** The store that was set aside took with it which epochs there have been: the metastore has to tell before any leader is listened to. */
  mayListen(record: GroupRecord | undefined): boolean {
    return !this.#isOn || record !== undefined;
  }

  /** A leader has told what is committed. What was committed before its epoch is known to be below only when an entry of its own is. */
  told(epoch: number, committed: number): void {
    if (this.#isOn && this.#options.store.runs.epochAt(committed - 1) === epoch) this.#upTo ??= committed;
  }

  applied(offset: number): void {
    if (!this.#isOn || this.#upTo === undefined || offset < this.#upTo) return;
    const { store, env, group, onRebuilt } = this.#options;
    this.#isOn = false;
    store.rebuilt();
    env.log.info("a replica that was rebuilt has everything again", { group, applied: offset });
    onRebuilt?.();
  }
}

const parentOf = (path: string): string => path.slice(0, path.lastIndexOf("/")) || "/";
