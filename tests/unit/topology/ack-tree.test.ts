// Guards the end of event trees: neither too early (an acknowledged record would not be done) nor never.
import { expect, test } from "bun:test";
import { AckTree, randomAck } from "../../../src/topology/stream/ack-tree.ts";

function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

test("a tree of local events ends with its last one", () => {
  const tree = new AckTree();
  tree.born();
  expect(tree.ended()).toBe(false);
  expect(tree.complete).toBe(false);
  expect(tree.ended()).toBe(true);
  expect(tree.complete).toBe(true);
});

test("an event that left keeps the tree open until it is answered", () => {
  const tree = new AckTree();
  tree.left(123);
  tree.ended();
  expect(tree.complete).toBe(false);
  tree.acked(123);
  expect(tree.complete).toBe(true);
});

test("random trees over many engines end exactly when their last event has, in any order of answers", () => {
  for (let seed = 1; seed <= 200; seed++) {
    const random = randomOf(seed);
    const root = new AckTree();
    const events: number[] = [];
    const leave = (from: AckTree) => {
      const id = randomAck(random);
      from.left(id);
      events.push(id);
    };
    for (let i = 0; i < 3; i++) leave(root);
    root.ended();
    const answers: number[] = [];
    let budget = 40;
    while (events.length + answers.length > 0) {
      expect(root.complete).toBe(false);
      if (events.length > 0 && (answers.length === 0 || random() < 0.5)) {
        const part = new AckTree(events.splice(Math.floor(random() * events.length), 1)[0]!);
        for (let children = Math.floor(random() * 3); children > 0 && budget-- > 0; children--) leave(part);
        expect(part.ended()).toBe(true);
        answers.push(part.answer);
      } else root.acked(answers.splice(Math.floor(random() * answers.length), 1)[0]!);
    }
    expect(root.complete).toBe(true);
  }
});

test("a failed tree never completes, and fails once", () => {
  const tree = new AckTree();
  expect(tree.fail()).toBe(true);
  expect(tree.fail()).toBe(false);
  tree.ended();
  expect(tree.complete).toBe(false);
});
