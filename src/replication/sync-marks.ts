// Which of a group's entries a sync of the physical log has made durable: the log counts its own entries, the group its offsets, and a cut takes offsets back.

interface Mark {
  /** Of the physical log's last entry then. */
  readonly number: number;
  /** Of the group's entries then. */
  end: number;
}

export class SyncMarks {
  readonly #marks: Mark[] = [];

  /** The log's entry `number` is the group's last one before offset `end`. */
  add(number: number, end: number): void {
    if (this.#marks.at(-1)?.number !== number) this.#marks.push({ number, end });
  }

  /** Entries from `end` on are void; what is written after this counts anew. */
  cut(end: number): void {
    for (const mark of this.#marks) mark.end = Math.min(mark.end, end);
  }

  /** Offset below which all is durable now that the log's entry `number` is; undefined: nothing new. */
  reached(number: number): number | undefined {
    let end: number | undefined;
    while (this.#marks.length > 0 && this.#marks[0]!.number <= number) end = this.#marks.shift()!.end;
    return end;
  }
}
