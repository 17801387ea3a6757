// How far the migrations of depots and PStates are, as engines tell it, and when they count as complete: the wrapper may be left out then.

/** Of one partition. */
export interface MigrationStatus {
  /** Name of the depot or PState. */
  readonly object: string;
  readonly task: number;
  readonly ids: readonly string[];
  readonly done: boolean;
  /** Values or records that have been written in their new form in the background. */
  readonly rewritten: number;
}

/** Objects all of whose partitions are through. What is not told of some task is not. */
export function finishedMigrations(parts: readonly MigrationStatus[], tasks: number): string[] {
  const byObject = new Map<string, MigrationStatus[]>();
  for (const part of parts) byObject.set(part.object, [...(byObject.get(part.object) ?? []), part]);
  return [...byObject].flatMap(([name, of]) => {
    const heard = new Set(of.map(({ task }) => task));
    return of.every(({ done }) => done) && heard.size === tasks ? [name] : [];
  });
}

/** One line per object: `$$p: migration m, 3 of 8 partitions done, 120 rewritten`. */
export function migrationLines(parts: readonly MigrationStatus[]): { object: string; text: string; done: boolean }[] {
  return [...new Set(parts.map(({ object }) => object))].map((object) => {
    const of = parts.filter((part) => part.object === object);
    const through = of.filter(({ done }) => done).length;
    const rewritten = of.reduce((sum, part) => sum + part.rewritten, 0);
    const ids = [...new Set(of.flatMap((part) => part.ids))].join(", ");
    const state =
      through === of.length ? "complete: the wrapper may be left out" : `${through} of ${of.length} partitions done`;
    return { object, text: `migration ${ids}: ${state}, ${rewritten} rewritten`, done: through === of.length };
  });
}
