// Social timelines in memory: posts and who follows whom are durable, timelines are not. A post is put into the timelines of its author's followers that are
// in memory. One that is not, after a restart, or whose user follows others than when it was made, is made anew from the posts when someone looks at it.
//
//   rama deploy --action launch --jar examples/timelines-in-memory.ts --module TimelinesInMemory --tasks 4 --threads 2 --workers 1
//
// The same records and the same question as timelines.ts. Delivering a post costs no write to disk, and an acknowledged post is in all timelines.
import {
  Agg,
  Block,
  CompoundAgg,
  Depot,
  not,
  Ops,
  Path,
  PState,
  type RamaCombinerAgg,
  RamaModule,
  record,
  type Setup,
  tuple,
  type Topologies,
} from "rama";

/** What a timeline keeps: the newest. */
export const kept = 600;

/** [author, id] */
type PostKey = readonly [string, number];

/** Places of the newest posts in turn: the oldest is overwritten. */
class Timeline {
  readonly #ring: PostKey[] = [];
  #count = 0;
  /** Not yet made: what is here came while its posts were being looked up. */
  filling = true;

  /** `follows`: how often its user had followed someone when it was made. */
  constructor(readonly follows: number) {}

  add(post: PostKey): void {
    this.#ring[this.#count++ % kept] = post;
  }

  /** Newest first. A post that was processed a second time after a failure stands in the ring twice. */
  newest(amount: number): PostKey[] {
    const posts = this.#ring.map((_, i) => this.#ring[(this.#count - 1 - i) % kept]!);
    return once(posts).slice(0, amount);
  }

  fill(posts: readonly PostKey[]): void {
    if (!this.filling) return;
    this.filling = false;
    const all = merged(posts, this.newest(kept));
    this.#ring.length = this.#count = 0;
    for (const post of all.reverse()) this.add(post);
  }
}

/** The timelines of one task's users. */
class Timelines {
  readonly #of = new Map<string, Timeline>();
  delivered = 0;

  deliver(followers: Iterable<string>, post: PostKey): void {
    for (const user of followers) {
      const timeline = this.#of.get(user);
      if (timeline === undefined) continue;
      timeline.add(post);
      this.delivered++;
    }
  }

  /** False: its posts have to be looked up, and `fill` called. */
  has(user: string, follows: number): boolean {
    const timeline = this.#of.get(user);
    if (timeline?.follows === follows) return !timeline.filling;
    this.#of.set(user, new Timeline(follows));
    return false;
  }

  newest(user: string, amount: number): PostKey[] {
    return this.#of.get(user)?.newest(amount) ?? [];
  }

  fill(user: string, posts: readonly PostKey[]): void {
    this.#of.get(user)?.fill(posts);
  }
}

function once(posts: readonly PostKey[]): PostKey[] {
  return [...new Map(posts.map((post) => [`${post[1]} ${post[0]}`, post])).values()];
}

/** Newest first, none twice, at most what a timeline keeps. */
function merged(a: readonly PostKey[], b: readonly PostKey[]): PostKey[] {
  return once([...a, ...b])
    .sort((x, y) => y[1] - x[1])
    .slice(0, kept);
}

const newestOf: RamaCombinerAgg<readonly PostKey[]> = { zeroVal: () => [], combine: merged };

export class TimelinesInMemory extends RamaModule {
  define(setup: Setup, topologies: Topologies) {
    setup.declareDepot("*follows", Depot.hashBy("follower"));
    setup.declareDepot("*posts", Depot.hashBy("author"));
    // When there are many follows at once (someone moves a community here) they are worth big microbatches.
    setup.setLaunchDepotDynamicOption("*follows", "depot.microbatch.max.records", 50_000);
    setup.declareObject("*timelines", () => new Timelines());

    // Who follows whom is exactly once, and follows of one microbatch are put together first: a set changes once however many come.
    const graph = topologies.microbatch("graph");
    graph.pstate("$$following", PState.mapSchema(String, PState.setSchema(String)));
    // author → those of this task's users who follow
    graph.pstate("$$followers", PState.mapSchema(String, PState.setSchema(String))).makePrivate();
    graph.pstate("$$follows", PState.mapSchema(String, Number));
    graph
      .source("*follows")
      .out("*microbatch")
      .batchBlock(
        Block.explodeMicrobatch("*microbatch")
          .out({ follower: "*follower", author: "*author" })
          .hashPartition("*follower")
          .compoundAgg("$$following", CompoundAgg.map("*follower", Agg.set("*author")))
          .compoundAgg("$$followers", CompoundAgg.map("*author", Agg.set("*follower")))
          .compoundAgg("$$follows", CompoundAgg.map("*follower", Agg.count())),
      );

    const core = topologies.stream("core");
    core.pstate("$$posts", PState.mapSchema(String, PState.mapSchema(Number, String).subindexed()));
    core
      .source("*posts")
      .out({ author: "*author", id: "*id", text: "*text" })
      .localTransform("$$posts", Path.key("*author", "*id").termVal("*text"))
      .each(Ops.TUPLE, "*author", "*id")
      .out("*post")
      .allPartition()
      .localSelect("$$followers", Path.key("*author").filterPred(Ops.IS_NOT_NULL))
      .out("*users")
      .each(
        (timelines: Timelines, users: ReadonlySet<string>, post: PostKey) => timelines.deliver(users, post),
        "*timelines",
        "*users",
        "*post",
      );

    topologies
      .query("timeline", "*user", "*amount")
      .out("*timeline")
      .hashPartition("*user")
      .localSelect("$$follows", Path.key("*user").nullToVal(0))
      .out("*count")
      .each(
        (timelines: Timelines, user: string, count: number) => timelines.has(user, count),
        "*timelines",
        "*user",
        "*count",
      )
      .out("*there")
      .ifTrue(
        not("*there"),
        Block.invokeQuery("newestPosts", "*user")
          .out("*posts")
          .each(
            (timelines: Timelines, user: string, posts: PostKey[]) => timelines.fill(user, posts),
            "*timelines",
            "*user",
            "*posts",
          ),
      )
      .each(
        (timelines: Timelines, user: string, amount: number) => timelines.newest(user, amount),
        "*timelines",
        "*user",
        "*amount",
      )
      .out("*page")
      .each(Ops.EXPLODE_INDEXED, "*page")
      .out("*place", "*entry")
      .each(Ops.EXPAND, "*entry")
      .out("*author", "*id")
      .hashPartition("*author")
      .localSelect("$$posts", Path.key("*author", "*id"))
      .out("*text")
      .originPartition()
      .agg(Agg.sortedList(tuple("*place", record({ author: "*author", id: "*id", text: "*text" })), Ops.FIRST))
      .out("*sorted")
      .each((sorted: [number, unknown][]) => sorted.map(([, post]) => post), "*sorted")
      .out("*timeline");

    // What the timeline of a user is made of when it is not in memory.
    topologies
      .query("newestPosts", "*user")
      .out("*posts")
      .hashPartition("*user")
      .localSelect("$$following", Path.key("*user").all())
      .out("*author")
      .hashPartition("*author")
      .localSelect("$$posts", Path.key("*author").sortedMapRangeToEnd(kept))
      .out("*ofAuthor")
      .each(
        (author: string, posts: Map<number, string>) => [...posts.keys()].map((id) => [author, id]),
        "*author",
        "*ofAuthor",
      )
      .out("*keys")
      .originPartition()
      .agg(Agg.combiner(newestOf, "*keys"))
      .out("*posts");

    topologies
      .query("delivered")
      .out("*delivered")
      .allPartition()
      .each((timelines: Timelines) => timelines.delivered, "*timelines")
      .out("*here")
      .originPartition()
      .agg(Agg.sum("*here"))
      .out("*delivered");
  }
}
