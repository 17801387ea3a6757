// Dead letters of remote sources that are not there yet: between recovery and their beginning, and on a replica that follows. Kept, and flushed, as those of other sources.
import type { ByteReader } from "../base/value-bytes.ts";
import { DeadLetterBox } from "./dead-letters.ts";

type StoredState = ReturnType<DeadLetterBox["takeState"]>;

export class LaterLetters {
  /** By box, then partition. */
  readonly #boxes = new Map<string, DeadLetterBox>();

  load(id: number, partition: number, state: Uint8Array): void {
    this.#box(id, partition).load(state);
  }

  replay(id: number, partition: number, delta: ByteReader): void {
    this.#box(id, partition).replay(delta);
  }

  #box(id: number, partition: number): DeadLetterBox {
    const key = `${id}/${partition}`;
    let box = this.#boxes.get(key);
    if (box === undefined) {
      box = new DeadLetterBox(id, partition);
      this.#boxes.set(key, box);
    }
    return box;
  }

  /** The source is there, and has not begun: its own box goes on. */
  hand(to: DeadLetterBox): void {
    const key = `${to.id}/${to.task}`;
    const box = this.#boxes.get(key);
    if (box === undefined) return;
    this.#boxes.delete(key);
    const { dirty } = box;
    to.load(box.encode());
    to.dirty = dirty;
  }

  /** What the flush writes. */
  takeChanged(): StoredState[] {
    return [...this.#boxes.values()].filter(({ dirty }) => dirty).map((box) => box.takeState());
  }

  /** The flush was not written. */
  lost(): void {
    for (const box of this.#boxes.values()) box.dirty = true;
  }
}
