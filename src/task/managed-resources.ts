// Resources that task globals share: one instance per worker or per task thread, made by the first who asks, closed when the last one has closed.
//   prepareForTask(taskId, context) { this.http = new WorkerManagedResource("http", context, () => new HttpClient()); }
import { RamaError } from "../base/errors.ts";

interface Shared {
  readonly value: unknown;
  users: number;
}

/** What a worker's tasks share; by name. */
export class SharedResources {
  readonly #byName = new Map<string, Shared>();

  take(name: string, make: () => unknown): unknown {
    let shared = this.#byName.get(name);
    if (shared === undefined) {
      shared = { value: make(), users: 0 };
      this.#byName.set(name, shared);
    }
    shared.users++;
    return shared.value;
  }

  async giveBack(name: string): Promise<void> {
    const shared = this.#byName.get(name);
    if (shared === undefined || --shared.users > 0) return;
    this.#byName.delete(name);
    await (shared.value as { close?(): unknown } | null)?.close?.();
  }
}

/** Where a context keeps its worker's resources, and the name of its thread among them. */
const sharing = new WeakMap<object, { resources: SharedResources; thread: string }>();

export function shareResources(context: object, resources: SharedResources, thread: string): void {
  sharing.set(context, { resources, thread });
}

class ManagedResource<T> {
  readonly #resources: SharedResources;
  readonly #name: string;
  readonly #value: T;
  #closed = false;

  constructor(resourceId: string, context: object, make: () => T, perThread: boolean) {
    const shared = sharing.get(context);
    if (shared === undefined) {
      throw new RamaError("NOT_ALLOWED_HERE", `${resourceId} needs the context that prepareForTask was given`);
    }
    this.#resources = shared.resources;
    this.#name = `${perThread ? shared.thread : ""}/${resourceId}`;
    this.#value = this.#resources.take(this.#name, make) as T;
  }

  getResource(): T {
    return this.#value;
  }

  /** The resource's own `close` is called when the last of its users has closed. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#resources.giveBack(this.#name);
  }
}

/** One instance for all tasks of a worker that name the same resource. */
export class WorkerManagedResource<T> extends ManagedResource<T> {
  constructor(resourceId: string, context: object, make: () => T) {
    super(resourceId, context, make, false);
  }
}

/** One instance for all tasks of a thread. */
export class TaskThreadManagedResource<T> extends ManagedResource<T> {
  constructor(resourceId: string, context: object, make: () => T) {
    super(resourceId, context, make, true);
  }
}
