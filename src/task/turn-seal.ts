// The end of a turn: what it changed becomes entries of the log.
import { TURN } from "../replication/entry.ts";
import type { TaskGroup } from "./task-group.ts";
import { TurnEntry, turnEnds, turnGoesOn } from "./turn-entry.ts";

/** One entry per group that changed; the last one of them makes the turn count. */
export function sealTurn(groups: readonly TaskGroup[]): void {
  if (!groups.some((group) => group.hasChanges)) return;
  for (const group of groups) group.prepare();
  const sealed: { group: TaskGroup; entry: TurnEntry }[] = [];
  for (const group of groups) {
    const entry = new TurnEntry();
    for (const sealer of group.takeChanged()) sealer.seal(entry);
    if (!entry.empty) sealed.push({ group, entry });
  }
  const last = sealed.at(-1)?.group;
  for (const { group, entry } of sealed) {
    const { parts, applies } = entry;
    parts[0] = group === last ? turnEnds : turnGoesOn(last!.id, last!.replog.end);
    group.replog.append(TURN, parts, () => {
      for (let k = 0; k < applies.length; k++) applies[k]!();
    });
  }
}
