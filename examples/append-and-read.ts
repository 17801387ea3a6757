// A client program: appends sentences to WordCountModule and reads counts back. Deploy the module first (see word-count.ts), then
//   rama run examples/append-and-read.ts "to be or not to be"
import { Path, RamaClusterManager } from "rama";

const sentence = process.argv.slice(2).join(" ") || "the quick brown fox jumps over the lazy dog";

// Without an argument the settings come from the rama.yaml of the release.
await using cluster = await RamaClusterManager.open();
const sentences = cluster.clusterDepot("WordCountModule", "*sentences");
const counts = cluster.clusterPState("WordCountModule", "$$wordCounts");

// Resolves when the record is on disk and its words are counted, so that the reads below see it.
await sentences.append(sentence);

for (const word of new Set(sentence.toLowerCase().match(/[\p{L}\p{N}']+/gu) ?? [])) {
  console.log(`${word}: ${await counts.selectOne(Path.key(word))}`);
}
