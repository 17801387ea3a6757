import { expect, test } from "bun:test";
import { InProcessCluster } from "rama/test";
import { type Document, PrefixSearchModule, wordsOf } from "../../examples/prefix-search.ts";

test("words are lower case, without accents, and each once", () => {
  expect(wordsOf("Ünit-tests: a unit, Straße 12")).toEqual(["unit", "tests", "straße", "12"]);
  expect(wordsOf(null)).toEqual([]);
});

test("documents are found by the beginnings of their words, and only by those that they have now", async () => {
  await using cluster = await InProcessCluster.create();
  const module = await cluster.launchModule(PrefixSearchModule, { tasks: 4, threads: 2 });
  const documents = module.depot<Document>("*documents");
  let count = 0;
  const write = async (...records: Document[]) => {
    await documents.appendMany(records);
    count += records.length;
    await module.waitForProcessed("index", count);
  };
  const search = async (typed: string, amount = 10) =>
    (await module.query<Document[]>("search").invoke(typed, amount)).map(({ id }) => id);
  await write(
    { id: "d1", text: "The quick brown fox" },
    { id: "d2", text: "Quicksand and foxes" },
    { id: "d3", text: "A brown bear" },
  );
  expect(await search("qui fo")).toEqual(["d1", "d2"]);
  expect(await search("quick")).toEqual(["d1", "d2"]);
  expect(await search("quicks")).toEqual(["d2"]);
  expect(await search("BRO")).toEqual(["d1", "d3"]);
  expect(await search("bro", 1)).toEqual(["d1"]);
  expect(await search("bro zebra")).toEqual([]);
  expect(await search("b")).toEqual([]);

  await write({ id: "d1", text: "The slow brown fox" }, { id: "d3", text: null });
  expect(await search("qui")).toEqual(["d2"]);
  expect(await search("slo fo")).toEqual(["d1"]);
  expect(await search("bear")).toEqual([]);
});
