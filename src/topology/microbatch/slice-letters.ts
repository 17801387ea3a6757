// Dead letters of one microbatch source in one depot partition. A retry waits for a microbatch of its own, which the coordinator begins (loop.ts).
import { type DeadLetter, DeadLetterBox } from "../dead-letters.ts";

export class SliceLetters extends DeadLetterBox {
  /** The coordinator knows which record fails. */
  readonly failing = { worst: undefined };
  /** Tells the group that the box has changed, and the coordinator which letters are to run. */
  onChanged: (retried: DeadLetter | undefined) => void = () => {};

  retry(letter: DeadLetter): boolean {
    if (letter.retrying) return false;
    this.put({ ...letter, retrying: true, attempted: 0 });
    this.onChanged(letter);
    return true;
  }

  drop(letter: DeadLetter): boolean {
    if (letter.retrying || !this.remove(letter.offset)) return false;
    this.onChanged(undefined);
    return true;
  }

  /** Microbatch `id` is committed: its letter goes. */
  processed(id: number): void {
    for (const { offset, attempted } of this.list()) if (attempted === id && id > 0) this.remove(offset);
  }
}
