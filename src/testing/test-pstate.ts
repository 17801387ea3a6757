// A PState on its own: the same storage, schema checks and paths as in a module, without one.
//   await using counts = TestPState.create(PState.mapSchema(String, Number));
//   await counts.transform(Path.key("a").termVal(1));
import type { SchemaNode } from "../module/schema.ts";
import { type SchemaArg, topSchema } from "../module/pstate-schema.ts";
import type { PathRoot, ReadSession } from "../paths/indexed.ts";
import { compileSelect, compileSelectOne, compileTransform } from "../paths/compile.ts";
import type { Path } from "../paths/path.ts";
import { asData } from "../paths/spec.ts";
import { TestPStateBacking } from "../pstate/test-backing.ts";
import { memoryKv } from "../storage/kv-memory.ts";

export class TestPState {
  readonly #backing: Promise<TestPStateBacking>;
  readonly #schema: SchemaNode;
  #opened: TestPStateBacking | undefined = undefined;

  private constructor(schema: SchemaNode) {
    this.#schema = schema;
    this.#backing = memoryKv()
      .open("test-pstate")
      .then((kv) => {
        this.#opened = new TestPStateBacking({ kv, schema });
        return this.#opened;
      });
  }

  // ---- HeldState: a `$$p` var of a detached block may hold this (`dataflow/runtime.ts`)

  get schema(): SchemaNode {
    return this.#schema;
  }

  pathRoot(session: ReadSession): PathRoot {
    if (this.#opened !== undefined) return this.#opened.pathRoot(session);
    session.miss(async () => {
      await this.#backing;
    });
    return { get: () => null, set() {} };
  }

  undoChange(): void {
    this.#opened?.undoChange();
  }

  commitChange(): void {
    this.#opened?.commitChange();
  }

  clearState(): void {
    this.#opened?.clearState();
  }

  /** Takes a schema as `pstate` of a topology does: `PState.mapSchema(String, Number)`, or a class. */
  static create(schema: SchemaArg): TestPState {
    return new TestPState(topSchema(schema, "$$test"));
  }

  /** Everything that the path navigates to. */
  async select<T = any>(path: Path): Promise<T[]> {
    const compiled = compileSelect(asData(path.steps), { schema: this.#schema });
    const backing = await this.#backing;
    return (await backing.read((root, session) => compiled(root.get(), [], session))) as T[];
  }

  /** The one value that the path navigates to; NOT_EXACTLY_ONE otherwise. */
  async selectOne<T = any>(path: Path): Promise<T> {
    const compiled = compileSelectOne(asData(path.steps), { schema: this.#schema });
    const backing = await this.#backing;
    return (await backing.read((root, session) => compiled(root.get(), [], session))) as T;
  }

  /** Changes what the path navigates to; when it throws, nothing has changed. */
  async transform(path: Path): Promise<void> {
    const compiled = compileTransform(asData(path.steps), { schema: this.#schema });
    const backing = await this.#backing;
    await backing.transform((root, session) => {
      const before = root.get();
      const after = compiled(before, [], session);
      if (after !== before) root.set(after);
    });
  }

  async close(): Promise<void> {
    await (await this.#backing).close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
