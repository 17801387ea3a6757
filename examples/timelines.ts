// Social timelines with fan-out: each post goes into the timeline of everyone who follows its author, and a timeline keeps the newest 600 posts.
//
//   rama deploy --action launch --jar examples/timelines.ts --module TimelinesModule --tasks 4 --threads 2 --workers 1
//   rama append TimelinesModule '*follows' '{"follower": "bob", "author": "ann"}'
//   rama append TimelinesModule '*posts' '{"author": "ann", "id": 1, "text": "Hello"}'
//   rama query TimelinesModule timeline '"bob"' 20
//
// All posts of one microbatch that concern a user are stored as one page of that user's timeline. So the busier the module is, the fewer writes a delivered
// post costs: at a thousand posts a second with 400 followers each, one write carries some dozens of them. The variant that keeps timelines in memory and
// makes them anew when someone looks is timelines-in-memory.ts.
//
// `$$followers` has one value per author and task, good for some thousands of followers on each task; for more, make it a subindexed set.
import {
  Agg,
  Block,
  CompoundAgg,
  Depot,
  gt,
  Ops,
  Path,
  PState,
  type RamaAccumulatorAgg,
  RamaModule,
  record,
  type Setup,
  tuple,
  type Topologies,
} from "rama";

/** A timeline has at least the newest 600 posts; what is older goes once another 200 have come. */
export const kept = 600;
const slack = 200;

export interface Follow {
  readonly follower: string;
  readonly author: string;
}

/** `id` is chosen by the application: unique among the posts of the author, and greater the later. */
export interface Post {
  readonly author: string;
  readonly id: number;
  readonly text: string;
}

/** [author, id] */
type PostKey = readonly [string, number];

/** The posts of a microbatch by the user whose timeline they belong to, as one task sees them. */
const byFollower: RamaAccumulatorAgg<Map<string, PostKey[]>> = {
  initVal: () => new Map(),
  accumulate(pages, followers: ReadonlySet<string>, post: PostKey) {
    for (const follower of followers) {
      const page = pages.get(follower);
      if (page === undefined) pages.set(follower, [post]);
      else page.push(post);
    }
    return pages;
  },
};

/** What changes when `page` comes after `total` posts: the new total, and, now and then, up to where the timeline is cut. */
function grown(total: number, page: readonly unknown[]): [total: number, cut: number] {
  const after = total + page.length;
  const due = Math.floor(after / slack) > Math.floor(total / slack);
  return [after, due ? after - kept : 0];
}

/** The newest `amount` posts of pages that come oldest first. */
function newest(pages: ReadonlyMap<number, PostKey[]>, amount: number): PostKey[] {
  return [...pages.values()].flat().slice(-amount).reverse();
}

export class TimelinesModule extends RamaModule {
  define(setup: Setup, topologies: Topologies) {
    setup.declareDepot("*follows", Depot.hashBy("follower"));
    setup.declareDepot("*posts", Depot.hashBy("author"));
    // When there are many follows at once (someone moves a community here) they are worth big microbatches.
    setup.setLaunchDepotDynamicOption("*follows", "depot.microbatch.max.records", 50_000);

    const core = topologies.microbatch("core");
    core.pstate("$$follows", PState.mapSchema(String, Number));
    // author → those of this task's users who follow. It lies with the followers' timelines, not with the author: so a post travels once to each task, and
    // a list of followers never does.
    core.pstate("$$followers", PState.mapSchema(String, PState.setSchema(String))).makePrivate();
    core.pstate("$$posts", PState.mapSchema(String, PState.mapSchema(Number, String).subindexed()));
    // user → how many posts came before the page → the page, oldest post first
    core.pstate("$$timelines", PState.mapSchema(String, PState.mapSchema(Number, Array).subindexed()));
    core.pstate("$$received", PState.mapSchema(String, Number)).makePrivate();

    // Follows of one microbatch are put together first: an author's set changes once however many come.
    core
      .source("*follows")
      .out("*microbatch")
      .batchBlock(
        Block.explodeMicrobatch("*microbatch")
          .out({ follower: "*follower", author: "*author" })
          .hashPartition("*follower")
          .compoundAgg("$$follows", CompoundAgg.map("*follower", Agg.count()))
          .compoundAgg("$$followers", CompoundAgg.map("*author", Agg.set("*follower"))),
      );

    core
      .source("*posts")
      .out("*microbatch")
      .anchor("posts")
      .explodeMicrobatch("*microbatch")
      .out({ author: "*author", id: "*id", text: "*text" })
      .localTransform("$$posts", Path.key("*author", "*id").termVal("*text"))
      .hook("posts")
      .batchBlock(
        Block.explodeMicrobatch("*microbatch")
          .out({ author: "*author", id: "*id" })
          .allPartition()
          .localSelect("$$followers", Path.key("*author").filterPred(Ops.IS_NOT_NULL))
          .out("*followers")
          .agg(Agg.accumulator(byFollower, "*followers", tuple("*author", "*id")))
          .out("*pages")
          .each(Ops.EXPLODE_MAP, "*pages")
          .out("*user", "*page")
          .macro(addPage()),
      );

    topologies
      .query("timeline", "*user", "*amount")
      .out("*timeline")
      .hashPartition("*user")
      // No page is empty: so many pages hold as many posts, or all.
      .localSelect("$$timelines", Path.key("*user").sortedMapRangeToEnd("*amount"))
      .out("*pages")
      .each(newest, "*pages", "*amount")
      .out("*posts")
      .each(Ops.EXPLODE_INDEXED, "*posts")
      .out("*place", "*post")
      .each(Ops.EXPAND, "*post")
      .out("*author", "*id")
      .hashPartition("*author")
      .localSelect("$$posts", Path.key("*author", "*id"))
      .out("*text")
      .originPartition()
      .agg(Agg.sortedList(tuple("*place", record({ author: "*author", id: "*id", text: "*text" })), Ops.FIRST))
      .out("*sorted")
      .each((sorted: [number, Post][]) => sorted.map(([, post]) => post), "*sorted")
      .out("*timeline");
  }
}

/** Adds `*page` to the timeline of `*user`, whose task this is. */
function addPage(): Block {
  return Block.localSelect("$$received", Path.key("*user").nullToVal(0))
    .out("*total")
    .each(grown, "*total", "*page")
    .out(["*after", "*cut"])
    .localTransform("$$timelines", Path.key("*user", "*total").termVal("*page"))
    .localTransform("$$received", Path.key("*user").termVal("*after"))
    .ifTrue(
      gt("*cut", 0),
      // The page in which the cut lies stays whole.
      Block.localSelect(
        "$$timelines",
        Path.key("*user").sortedMapRangeTo("*cut", { includeEnd: true, maxAmt: 1 }).mapKeys(),
      )
        .out("*oldest")
        .localTransform("$$timelines", Path.key("*user").sortedMapRangeTo("*oldest").termVal(null)),
    );
}
