// The planted bugs of `npm run sim -- --mutations` are pieces of source text: each has to stand exactly once in its file.
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { mutated, mutations } from "../../../scripts/sim-mutations.ts";

test("every planted bug still has its place in the source", () => {
  const lost = mutations.flatMap((mutation) => {
    try {
      mutated(readFileSync(mutation.file, "utf8"), mutation);
      return [];
    } catch (error) {
      return [(error as Error).message];
    }
  });
  expect(lost).toEqual([]);
});
