// One partition on its own, as TestPState has it: the same nodes, structures and checks as in a module, over a Kv of its own, each transform visible at once.
import type { ClassRegistry } from "../base/values.ts";
import type { SchemaNode } from "../module/schema.ts";
import { type PathRoot, ReadSession } from "../paths/indexed.ts";
import type { Kv } from "../storage/kv.ts";
import type { PStateGroup, PStatePartition, PStateTransaction } from "./contract.ts";
import { openPStateGroup } from "./group.ts";

export interface TestPStateOptions {
  readonly kv: Kv;
  readonly schema: SchemaNode;
  readonly name?: string;
  readonly initialValue?: unknown;
  readonly classes?: ClassRegistry;
}

/** Changes gathered before they are written to the Kv. */
const flushBytes = 1 << 20;

export class TestPStateBacking {
  readonly #kv: Kv;
  readonly #group: PStateGroup;
  readonly #partition: PStatePartition;
  readonly #transaction: PStateTransaction;

  constructor(options: TestPStateOptions) {
    const { kv, schema, name = "$$test", initialValue, classes } = options;
    this.#kv = kv;
    this.#group = openPStateGroup({
      kv,
      groupId: 0,
      tasks: [0],
      specs: [{ objectId: 1, name, schema, ...(initialValue === undefined ? {} : { initialValue }) }],
      cacheBytes: 64 << 20,
      deepValidation: true,
      ...(classes === undefined ? {} : { classes }),
    });
    this.#partition = this.#group.partition(1, 0);
    this.#transaction = this.#group.transaction();
  }

  /** Evaluates `select` until nothing is missed. */
  async read<T>(select: (root: PathRoot, session: ReadSession) => T): Promise<T> {
    const session = new ReadSession();
    return this.#evaluate(session, () => select(this.#partition.external(session), session));
  }

  /** Evaluates `change` and makes its writes visible; when it throws, nothing has changed. */
  async transform<T>(change: (root: PathRoot, session: ReadSession) => T): Promise<T> {
    const session = new ReadSession();
    const result = await this.#evaluate(session, () =>
      change(this.#partition.owner(this.#transaction, session), session),
    );
    this.#transaction.seal()?.apply();
    if (this.#group.unflushedBytes > flushBytes) await this.#flush();
    return result;
  }

  // ---- for detached blocks, which wait for missed pages themselves (`dataflow/runtime.ts`, HeldState)

  /** Sees its own changes at once. */
  pathRoot(session: ReadSession): PathRoot {
    return this.#partition.owner(this.#transaction, session);
  }

  undoChange(): void {
    this.#transaction.rollbackTo(0);
  }

  commitChange(): void {
    this.#transaction.seal()?.apply();
  }

  /** Back to the starting state. */
  clearState(): void {
    this.#partition.clear(this.#transaction);
    this.commitChange();
  }

  async #evaluate<T>(session: ReadSession, evaluate: () => T): Promise<T> {
    for (;;) {
      let result: T | undefined;
      try {
        result = evaluate();
      } catch (error) {
        this.#transaction.rollbackTo(0);
        if (!session.missed) throw error;
      }
      if (!session.missed) return result as T;
      this.#transaction.rollbackTo(0);
      await session.load();
    }
  }

  async #flush(): Promise<void> {
    const { ops, done } = this.#group.collect();
    await this.#kv.batch(ops, { sync: false });
    done();
    await this.#group.removeDropped();
  }

  async close(): Promise<void> {
    await this.#kv.close();
  }
}
