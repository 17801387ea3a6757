// A select that lets others run between its pages, over what was applied when it began. A first page is read from the partition itself; only when there is more a
// snapshot is taken of that same moment, and the other pages come from it, each in a turn of the engine of its own.
import { Paging, type PathRoot, ReadSession } from "../paths/indexed.ts";
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
): Promise<void> {
  const session = new ReadSession();
  const paging = pageSize < 0 ? undefined : new Paging(pageSize > 0 ? pageSize : sizeOf(host, pstate));
  session.paging = paging;
  const partition = task.pstates[pstate]!;
  const page = async (rootOf: () => PathRoot): Promise<unknown[]> => {
    for (;;) {
      paging?.begin();
      const rows = select(rootOf(), session);
      if (!session.missed) return rows;
      await session.load();
    }
  };
  const first = await page(() => partition.external(session));
  if (paging?.hasMore !== true) {
    to.rows(first);
    return;
  }
  const snapshot = host.groupOf(task).pstates.snapshot(partition);
  try {
    for (let more = to.rows(first); more; ) {
      paging.turn();
      await to.yielded();
      const rows = await page(() => snapshot.external(session));
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
