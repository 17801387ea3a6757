import { expect, test } from "bun:test";
import { Path } from "rama";
import { InProcessCluster } from "rama/test";
import { WordCountModule } from "../../examples/word-count.ts";

test("words of all sentences are counted, whichever partition a sentence went to", async () => {
  await using cluster = await InProcessCluster.create();
  const wordCount = await cluster.launchModule(WordCountModule, { tasks: 4, threads: 2 });
  const sentences = wordCount.depot<string>("*sentences");
  const counts = wordCount.pstate("$$wordCounts");

  await sentences.append("To be, or not to be");
  await sentences.append("that is the question: to be");

  expect(await counts.selectOne(Path.key("be"))).toBe(3);
  expect(await counts.selectOne(Path.key("to"))).toBe(3);
  expect(await counts.selectOne(Path.key("question"))).toBe(1);
});

test("a word that never came has no count", async () => {
  await using cluster = await InProcessCluster.create();
  const wordCount = await cluster.launchModule(WordCountModule, { tasks: 2 });
  await wordCount.depot("*sentences").append("");
  expect(await wordCount.pstate("$$wordCounts").selectOne(Path.key("silence"))).toBeNull();
});
