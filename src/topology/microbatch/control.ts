// What engines tell each other about microbatches: events of the topology with stage numbers that no code has. Addressed to task 0, or to the first task of a group.
// The vars, by stage:
//   prime    id, run, plan           → group     primed    run, group, committed, processed, spans, letters → task 0
//   explode  stage, vars, source, temporary  (an event of a tree)          → any task
//   prepare  id, run                 → group     prepared  run, group      → task 0
//   apply    id                      → group     applied   group, id, processed               → task 0
//   data     group                   → task 0
//   drop     run                     → group     hello     group, committed, prepared id (0: none), its run   → task 0
//   ask                              → group     (answered with hello; an attempt that runs there ends)
//   letters  dead letters to run again (source, task, offset)                               → task 0
const base = 1_000_000;

export const control = {
  prime: base,
  primed: base + 1,
  explode: base + 2,
  prepare: base + 3,
  prepared: base + 4,
  apply: base + 5,
  data: base + 6,
  drop: base + 7,
  hello: base + 8,
  /** Answer to hello: the coordinator knows the group. */
  welcome: base + 9,
  applied: base + 10,
  letters: base + 11,
  ask: base + 12,
} as const;

type Shape = "number" | "list" | "any";

/** What stands where, by stage, as far as it is looked at before it is known who asks. */
const shapes: ReadonlyMap<number, readonly Shape[]> = new Map<number, readonly Shape[]>([
  [control.prime, ["number", "number", "any"]],
  [control.primed, ["number", "number", "number", "number", "list", "list"]],
  [control.explode, ["number", "list", "any", "any"]],
  [control.prepare, ["number", "number"]],
  [control.prepared, ["number", "number"]],
  [control.apply, ["number"]],
  [control.data, ["number"]],
  [control.drop, ["number"]],
  [control.hello, ["number", "number", "number", "number"]],
  [control.welcome, []],
  [control.applied, ["number", "number", "number"]],
  [control.letters, ["list"]],
  [control.ask, []],
]);

/** False: no engine of ours has sent that. */
export function isControl(stage: number, vars: readonly unknown[]): boolean {
  const shape = shapes.get(stage);
  if (shape === undefined || vars.length < shape.length) return false;
  return shape.every((each, i) => {
    if (each === "any") return true;
    return each === "list" ? Array.isArray(vars[i]) : typeof vars[i] === "number";
  });
}
