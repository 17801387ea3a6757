// A process that will have to open a store quickly does it once with a store of nothing: the native library is loaded then and the code has run.
import { openStore, positionsOp, type StoreOptions } from "./store.ts";

/** Opens, writes, closes, opens again and deletes a store in `dir`, which must be of no other use. A leftover of a process that died in it is no hindrance. */
export async function rehearseStore(options: StoreOptions): Promise<void> {
  const { disk, dir } = options;
  disk.removeTree(dir);
  for (let round = 0; round < 2; round++) {
    const opened = await openStore(options);
    const { kv, log } = await opened.recover(() => {});
    await kv.batch([positionsOp(0, { applied: 0, depotsSynced: 0 })], { sync: true });
    await kv.settle();
    await log.close();
    await kv.close();
  }
  disk.removeTree(dir);
}
