// How a module is updated in an in-process cluster: `UpdateOptions.objectsToDelete("$$old")`, or the literal `{ objectsToDelete: ["$$old"] }`.

export interface UpdateLiteral {
  readonly objectsToDelete?: readonly string[];
}

export class UpdateOptions implements UpdateLiteral {
  readonly objectsToDelete: readonly string[];

  private constructor(objectsToDelete: readonly string[]) {
    this.objectsToDelete = Object.freeze([...objectsToDelete]);
    Object.freeze(this);
  }

  /** Exactly the depots and PStates that the new version no longer has; a list or names one by one. */
  static objectsToDelete(...names: readonly (string | readonly string[])[]): UpdateOptions {
    return new UpdateOptions(names.flat());
  }
}
