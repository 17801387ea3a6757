// A select that lets others run between its pages, over what was applied when it began. A first page is read from the partition itself; only when there is more a
// snapshot is taken of that same moment, and the other pages come from it, each in a turn of the engine of its own. Its own topology sees what it has written in this
// microbatch too (`own`): nothing is sealed and not applied of one that runs.
import { Paging, type PathRoot, ReadSession } from "../paths/indexed.ts";
import type { PStateTransaction } from "../pstate/contract.ts";
import type { Task } from "../task/task.ts";
import type { RuntimeHost } from "../task/topology-runtime.ts";

export interface YieldingSelect {
  readonly pstate: number;
  readonly select: (root: PathRoot, session: ReadSession) => unknown[];
  /** 0: as the option says. -1: as a whole. */
  readonly pageSize: number;
}

export interface SelectedRows {
  /** Rows of a page, in order. `false`: nobody wants more. */
  rows(rows: readonly unknown[]): boolean;
  /** Resolves in a later turn of the engine. */
  yielded(): Promise<void>;
}

export async function yieldingSelect(
  host: RuntimeHost,
  task: Task,
  { pstate, select, pageSize }: YieldingSelect,
  to: SelectedRows,
  own?: PStateTransaction,
): Promise<void> {
  const session = new ReadSession();
  const paging = pageSize < 0 ? undefined : new Paging(pageSize > 0 ? pageSize : sizeOf(host, pstate));
  session.paging = paging;
  const partition = task.pstates[pstate]!;
  const page = (root: PathRoot): unknown[] | undefined => {
    paging?.begin();
    const rows = select(root, session);
    return session.missed ? undefined : rows;
  };
  const live = () => page(own === undefined ? partition.external(session) : partition.owner(own, session));
  let first = live();
  while (first === undefined) {
    await session.load();
    first = live();
  }
  if (paging?.hasMore !== true) {
    to.rows(first);
    return;
  }
  // Nothing has come in between: whoever runs next in this turn may write.
  const snapshot = host.groupOf(task).pstates.snapshot(partition, own);
  try {
    for (let more = to.rows(first); more; ) {
      paging.turn();
      await to.yielded();
      let rows = page(snapshot.external(session));
      while (rows === undefined) {
        await session.load();
        rows = page(snapshot.external(session));
      }
      more = to.rows(rows) && paging.hasMore;
    }
  } finally {
    await snapshot.close();
  }
}

function sizeOf(host: RuntimeHost, pstate: number): number {
  const { name } = host.module.definition.pstates[pstate]!;
  return host.options.number("pstate.yielding.select.page.size", name);
}
