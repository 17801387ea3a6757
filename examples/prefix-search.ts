// Search as you type: documents that contain a word for each beginning of a word that was typed.
//
//   rama deploy --action launch --jar examples/prefix-search.ts --module PrefixSearchModule --tasks 4 --threads 2 --workers 1
//   rama append PrefixSearchModule '*documents' '{"id": "d1", "text": "The quick brown fox"}'
//   rama query PrefixSearchModule search '"qui fo"' 10
//
// Words lie in order, so all that begin alike are one range. They are spread over the tasks by their first two letters: a shorter beginning finds nothing.
import {
  Agg,
  Block,
  Depot,
  expr,
  Ops,
  Path,
  PState,
  RamaModule,
  record,
  type Setup,
  SubBatch,
  type Topologies,
} from "rama";

const shardLetters = 2;
/** Words that one beginning may stand for. */
const wordsMax = 200;

export interface Document {
  readonly id: string;
  /** null: the document is gone. */
  readonly text: string | null;
}

/** Lower case, without accents, each once: `wordsOf("Ünit tests, unit")` is `["unit", "tests"]`. */
export function wordsOf(text: string | null): string[] {
  const plain = (text ?? "").normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
  return [...new Set(plain.match(/[\p{L}\p{N}]+/gu) ?? [])].filter((word) => [...word].length >= shardLetters);
}

const shardOf = (word: string): string => [...word].slice(0, shardLetters).join("");

/** [word, whether the document has it now] for each that has come or gone. */
function changes(before: string | null, after: string | null): [string, boolean][] {
  const [old, now] = [wordsOf(before), wordsOf(after)];
  const gone = old.filter((word) => !now.includes(word));
  const come = now.filter((word) => !old.includes(word));
  return [
    ...gone.map((word): [string, boolean] => [word, false]),
    ...come.map((word): [string, boolean] => [word, true]),
  ];
}

export class PrefixSearchModule extends RamaModule {
  define(setup: Setup, topologies: Topologies) {
    setup.declareDepot("*documents", Depot.hashBy("id"));

    const index = topologies.microbatch("index");
    index.pstate("$$documents", PState.mapSchema(String, String));
    // first letters → word → ids of the documents that have it
    const documents = PState.setSchema(String).subindexed();
    index.pstate("$$words", PState.mapSchema(String, PState.mapSchema(String, documents).subindexed()));

    // Exactly once: text and index never disagree, however often a document changes and whatever fails meanwhile.
    index
      .source("*documents")
      .out("*microbatch")
      .explodeMicrobatch("*microbatch")
      .out({ id: "*id", text: "*text" })
      .localSelect("$$documents", Path.key("*id"))
      .out("*before")
      .ifTrue(
        expr(Ops.IS_NULL, "*text"),
        Block.localTransform("$$documents", Path.key("*id").termVoid()),
        Block.localTransform("$$documents", Path.key("*id").termVal("*text")),
      )
      .each(changes, "*before", "*text")
      .out("*changes")
      .each(Ops.EXPLODE, "*changes")
      .out(["*word", "*has"])
      .each(shardOf, "*word")
      .out("*shard")
      .hashPartition("*shard")
      .ifTrue(
        "*has",
        Block.localTransform("$$words", Path.key("*shard", "*word").voidSetElem().termVal("*id")),
        Block.localTransform("$$words", Path.key("*shard", "*word").setElem("*id").termVoid()),
      );

    // For each document the beginnings that one of its words has.
    const found = new SubBatch(
      Block.each(wordsOf, "*typed")
        .out("*beginnings")
        .each(Ops.EXPLODE, "*beginnings")
        .out("*beginning")
        .each(shardOf, "*beginning")
        .out("*shard")
        .hashPartition("*shard")
        .localSelect("$$words", Path.key("*shard").sortedMapRangeFrom("*beginning", { maxAmt: wordsMax }).mapKeys())
        .out("*word")
        .keepTrue(expr((word: string, beginning: string) => word.startsWith(beginning), "*word", "*beginning"))
        .localSelect("$$words", Path.key("*shard", "*word").all())
        .out("*id")
        .hashPartition("*id")
        .groupBy("*id", Block.agg(Agg.set("*beginning")).out("*matched")),
      "*id",
      "*matched",
    );

    topologies
      .query("search", "*typed", "*amount")
      .out("*documents")
      .subBatch(found)
      .out("*id", "*matched")
      .keepTrue(
        expr((matched: Set<string>, typed: string) => matched.size === wordsOf(typed).length, "*matched", "*typed"),
      )
      .hashPartition("*id")
      .localSelect("$$documents", Path.key("*id"))
      .out("*text")
      .originPartition()
      .agg(Agg.sortedList(record({ id: "*id", text: "*text" }), (document: Document) => document.id))
      .out("*all")
      .each((all: Document[], amount: number) => all.slice(0, amount), "*all", "*amount")
      .out("*documents");
  }
}
