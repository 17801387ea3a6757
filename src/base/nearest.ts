// Suggestions for misspelt names: the closest of the known ones, when it is close enough to be meant.

/** Number of single-character edits that turn `a` into `b`. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[b.length]!;
}

/** The known name that is nearest to `name`; undefined when none is near. */
export function nearest(name: string, known: Iterable<string>): string | undefined {
  let best: string | undefined;
  let least = Math.max(2, Math.floor(name.length / 3)) + 1;
  for (const candidate of known) {
    const edits = distance(name.toLowerCase(), candidate.toLowerCase());
    if (edits >= least) continue;
    least = edits;
    best = candidate;
  }
  return best;
}

/** `; did you mean *word?`, or what is known when nothing is near. */
export function didYouMean(name: string, known: Iterable<string>): string {
  const names = [...new Set(known)];
  const near = nearest(name, names);
  if (near !== undefined) return `; did you mean ${near}?`;
  if (names.length === 0) return "";
  const shown = names.slice(0, 8).join(", ");
  return `; known here: ${shown}${names.length > 8 ? ", …" : ""}`;
}
