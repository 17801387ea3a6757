// A task global with one field that any code of its task may read and change: `setup.declareObject("*seen", () => new TaskGlobalField(0))`.

/** Not durable: after a restart it starts anew. Not rolled back when an event fails. */
export class TaskGlobalField<T = any> {
  field: T;

  constructor(init: T) {
    this.field = init;
  }

  /** There is nothing to prepare; that the method exists lets `declareObject` refuse one instance for all tasks, which they would share. */
  prepareForTask(): void {}
}
