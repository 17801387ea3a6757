// Programs in the spirit of the public example modules (language.md, appendix A), as an author writes them.
import { expect, test } from "bun:test";
import {
  Agg,
  Block,
  CompoundAgg,
  Depot,
  Expr,
  expr,
  Helpers,
  LoopVars,
  Ops,
  Path,
  PState,
  type PStateVar,
  RamaModule,
  type Setup,
  SortedRangeFromOptions,
  StreamSourceOptions,
  type StreamTopology,
  SubSource,
  type Topologies,
  type ValueVar,
} from "rama";
import { extractFields } from "rama/helpers";
import { InProcessCluster, LaunchConfig } from "rama/test";

class HelloWorldModule extends RamaModule {
  define(setup: Setup, topologies: Topologies) {
    setup.declareDepot("*depot", Depot.random());
    const s = topologies.stream("s");
    s.source("*depot").out("*data").each(Ops.PRINTLN, "*data");
  }
}

test("HelloWorldModule prints what is appended", async () => {
  const printed: unknown[] = [];
  const { log } = console;
  console.log = (line: unknown) => {
    printed.push(line);
  };
  try {
    await using ipc = await InProcessCluster.create();
    await ipc.launchModule(new HelloWorldModule(), new LaunchConfig(1, 1));
    await ipc.clusterDepot("HelloWorldModule", "*depot").append("Hello, world!!");
  } finally {
    console.log = log;
  }
  expect(printed).toEqual(["Hello, world!!"]);
});

class PageAnalyticsModule extends RamaModule {
  define(setup: Setup, topologies: Topologies) {
    setup.declareDepot("*depot", Depot.random());
    const s = topologies.stream("s");
    s.pstate("$$pageViewCount", PState.mapSchema(String, Number));
    s.pstate("$$sessionHistory", PState.mapSchema(String, PState.mapSchema(String, PState.listSchema(Map))));
    s.source("*depot")
      .out("*pageVisit")
      .each((visit: Map<string, unknown>) => visit.get("sessionId"), "*pageVisit")
      .out("*sessionId")
      .each(Ops.GET, "*pageVisit", "userId")
      .out("*userId")
      .each(Ops.GET, "*pageVisit", "path")
      .out("*path")
      .each(
        (visit: Map<string, unknown>) => new Map([...visit].filter(([k]) => k === "path" || k === "duration")),
        "*pageVisit",
      )
      .out("*thinPageVisit")
      .hashPartition("*path")
      .compoundAgg("$$pageViewCount", CompoundAgg.map("*path", Agg.count()))
      .hashPartition("*userId")
      .compoundAgg(
        "$$sessionHistory",
        CompoundAgg.map("*userId", CompoundAgg.map("*sessionId", Agg.list("*thinPageVisit"))),
      );
  }
}

test("PageAnalyticsModule: records that are maps, nested collections", async () => {
  await using ipc = await InProcessCluster.create();
  await ipc.launchModule(new PageAnalyticsModule(), new LaunchConfig(4, 4));
  const depot = ipc.clusterDepot("PageAnalyticsModule", "*depot");
  const visit = (path: string, duration: number) =>
    new Map<string, unknown>([
      ["sessionId", "abc123"],
      ["userId", "alice"],
      ["path", path],
      ["duration", duration],
    ]);
  await depot.append(visit("posts", 4200));
  await depot.append(visit("users", 2400));
  await depot.append(visit("posts", 1000));
  const counts = ipc.clusterPState("PageAnalyticsModule", "$$pageViewCount");
  expect(await counts.selectOne(Path.key("posts"))).toBe(2);
  const history = ipc.clusterPState("PageAnalyticsModule", "$$sessionHistory");
  expect(await history.select(Path.key("alice", "abc123").all().key("duration"))).toEqual([4200, 2400, 1000]);
  expect(await history.selectOne(Path.key("alice").view(Ops.SIZE))).toBe(1);
});

/** Ids that ascend by task: task number in the upper part, a counter in the lower. */
class NonMacroUniqueId {
  constructor(readonly pstate: PStateVar) {}

  declarePState(topology: StreamTopology): void {
    topology.pstate(this.pstate, Number).initialValue(0).makePrivate();
  }

  genId(out: ValueVar): Block {
    const counter = Helpers.genVar("counter");
    const task = Helpers.genVar("task");
    return Block.localSelect(this.pstate, Path.stay())
      .out(counter)
      .localTransform(this.pstate, Path.term(Ops.INC))
      .each(Ops.CURRENT_TASK_ID)
      .out(task)
      .each((id: number, n: number) => id * 2 ** 42 + n, task, counter)
      .out(out);
  }
}

class ProfileModule extends RamaModule {
  define(setup: Setup, topologies: Topologies) {
    setup.declareDepot("*registrationDepot", Depot.hashBy("username"));
    setup.declareDepot("*profileEditsDepot", Depot.hashBy("userId"));
    const profiles = topologies.stream("profiles");
    const ids = new NonMacroUniqueId("$$id");
    ids.declarePState(profiles);
    profiles.pstate(
      "$$usernameToRegistration",
      PState.mapSchema(String, PState.fixedKeysSchema({ userId: Number, uuid: String })),
    );
    profiles.pstate(
      "$$profiles",
      PState.mapSchema(
        Number,
        PState.fixedKeysSchema({ username: String, pwdHash: Number, joinedAtMillis: Number, displayName: String }),
      ),
    );
    profiles
      .source("*registrationDepot", StreamSourceOptions.retryAllAfter())
      .out("*registration")
      .macro(extractFields("*registration", "*uuid", "*username", "*pwdHash"))
      .localSelect("$$usernameToRegistration", Path.key("*username"))
      .out("*currInfo")
      .each(Ops.GET, "*currInfo", "uuid")
      .out("*currUUID")
      .ifTrue(
        new Expr(Ops.OR, new Expr(Ops.IS_NULL, "*currInfo"), new Expr(Ops.EQUAL, "*currUUID", "*uuid")),
        Block.macro(ids.genId("*userId"))
          .localTransform(
            "$$usernameToRegistration",
            Path.key("*username").multiPath(Path.key("userId").termVal("*userId"), Path.key("uuid").termVal("*uuid")),
          )
          .ackReturn("*userId")
          .hashPartition("*userId")
          .localTransform(
            "$$profiles",
            Path.key("*userId").multiPath(
              Path.key("username").termVal("*username"),
              Path.key("pwdHash").termVal("*pwdHash"),
              Path.key("joinedAtMillis").termVal(7),
            ),
          ),
      );
    profiles
      .source("*profileEditsDepot")
      .out({ userId: "*userId", edits: "*edits" })
      .each(Ops.EXPLODE, "*edits")
      .out({ field: "*field", value: "*value" })
      .localTransform("$$profiles", Path.key("*userId", "*field").termVal("*value"));
  }
}

test("ProfileModule: unique user names, generated ids, edits by field", async () => {
  await using ipc = await InProcessCluster.create();
  await ipc.launchModule(ProfileModule, { tasks: 4, threads: 2 });
  const registrations = ipc.clusterDepot(ProfileModule, "*registrationDepot");
  const register = async (uuid: string, username: string, pwdHash: number) =>
    (await registrations.append({ uuid, username, pwdHash }))["profiles"] as number | undefined;
  const alice = await register("1", "alice", 111);
  expect(alice).toBeNumber();
  expect(await register("2", "alice", 222)).toBeUndefined();
  const bob = await register("3", "bob", 333);
  expect(bob).not.toBe(alice);
  const edits = ipc.clusterDepot(ProfileModule, "*profileEditsDepot");
  await edits.append({
    userId: alice,
    edits: [
      { field: "displayName", value: "Alice Smith" },
      { field: "pwdHash", value: 999 },
    ],
  });
  const profiles = ipc.clusterPState(ProfileModule, "$$profiles");
  expect(await profiles.selectOne(Path.key(alice))).toEqual({
    username: "alice",
    pwdHash: 999,
    joinedAtMillis: 7,
    displayName: "Alice Smith",
  });
});

class UserRegistration {
  constructor(
    readonly userId: string,
    readonly email: string,
    readonly displayName: string,
  ) {}
}
class DisplayNameEdit {
  constructor(
    readonly userId: string,
    readonly displayName: string,
  ) {}
}
class Post {
  constructor(
    readonly userId: string,
    readonly toUserId: string,
    readonly content: string,
  ) {}
}
class FriendRequest {
  constructor(
    readonly userId: string,
    readonly toUserId: string,
  ) {}
}
class FriendshipAdd {
  constructor(
    readonly userId1: string,
    readonly userId2: string,
  ) {}
}
class ProfileView {
  constructor(
    readonly userId: string,
    readonly toUserId: string,
    readonly timestamp: number,
  ) {}
}

const dayMs = 86_400_000;

class RamaSpaceModule extends RamaModule {
  define(setup: Setup, topologies: Topologies) {
    setup.declareDepot("*userRegistrationsDepot", Depot.hashBy("userId"));
    setup.declareDepot("*profileEditsDepot", Depot.hashBy("userId"));
    setup.declareDepot("*profileViewsDepot", Depot.hashBy("toUserId"));
    setup.declareDepot("*friendRequestsDepot", Depot.hashBy("toUserId"));
    setup.declareDepot("*friendshipChangesDepot", Depot.hashBy("userId1"));
    setup.declareDepot("*postsDepot", Depot.hashBy("toUserId"));
    this.users(topologies);
    this.friends(topologies);
    this.posts(topologies);
    this.views(topologies);
  }

  private users(topologies: Topologies) {
    const users = topologies.stream("users");
    users.pstate(
      "$$profiles",
      PState.mapSchema(String, PState.fixedKeysSchema({ displayName: String, email: String })),
    );
    users
      .source("*userRegistrationsDepot")
      .out("*registration")
      .macro(extractFields("*registration", "*userId", "*email", "*displayName"))
      .localTransform(
        "$$profiles",
        Path.key("*userId")
          .filterPred(Ops.IS_NULL)
          .multiPath(Path.key("email").termVal("*email"), Path.key("displayName").termVal("*displayName")),
      );
    users
      .source("*profileEditsDepot")
      .out("*edit")
      .subSource(
        "*edit",
        SubSource.create(DisplayNameEdit)
          .macro(extractFields("*edit", "*userId", "*displayName"))
          .localTransform("$$profiles", Path.key("*userId", "displayName").termVal("*displayName")),
      );
  }

  private friends(topologies: Topologies) {
    const friends = topologies.stream("friends");
    const sets = PState.mapSchema(String, PState.setSchema(String).subindexed());
    friends.pstate("$$outgoingFriendRequests", sets);
    friends.pstate("$$incomingFriendRequests", sets);
    friends.pstate("$$friends", sets);
    friends
      .source("*friendRequestsDepot", StreamSourceOptions.retryAllAfter())
      .out({ userId: "*userId", toUserId: "*toUserId" })
      .localTransform("$$incomingFriendRequests", Path.key("*toUserId").voidSetElem().termVal("*userId"))
      .hashPartition("*userId")
      .localTransform("$$outgoingFriendRequests", Path.key("*userId").voidSetElem().termVal("*toUserId"));
    friends
      .source("*friendshipChangesDepot", StreamSourceOptions.retryAllAfter())
      .out("*change")
      .macro(extractFields("*change", "*userId1", "*userId2"))
      .anchor("start")
      .each(Ops.TUPLE, "*userId1", "*userId2")
      .out("*pair")
      .anchor("normal")
      .hook("start")
      .each(Ops.TUPLE, "*userId2", "*userId1")
      .out("*pair")
      .anchor("flipped")
      .unify("normal", "flipped")
      .each(Ops.EXPAND, "*pair")
      .out("*a", "*b")
      .hashPartition("*a")
      .localTransform("$$incomingFriendRequests", Path.key("*a").setElem("*b").termVoid())
      .localTransform("$$outgoingFriendRequests", Path.key("*a").setElem("*b").termVoid())
      .localTransform("$$friends", Path.key("*a").voidSetElem().termVal("*b"));
  }

  private posts(topologies: Topologies) {
    const posts = topologies.stream("posts");
    posts.pstate("$$nextId", Number).initialValue(Number.MAX_SAFE_INTEGER);
    posts.pstate("$$posts", PState.mapSchema(String, PState.mapSchema(Number, Post).subindexed()));
    posts
      .source("*postsDepot")
      .out("*post", { toUserId: "*toUserId" })
      .localSelect("$$nextId", Path.stay())
      .out("*id")
      .localTransform("$$nextId", Path.term(Ops.DEC))
      .localTransform("$$posts", Path.key("*toUserId", "*id").termVal("*post"));
    topologies
      .query("resolvePosts", "*forUserId", "*startPostId")
      .out("*resultMap")
      .hashPartition("*forUserId")
      .localSelect(
        "$$posts",
        Path.key("*forUserId").sortedMapRangeFrom("*startPostId", SortedRangeFromOptions.maxAmt(3)),
      )
      .out("*page")
      .select("*page", Path.subselect(Path.mapVals()))
      .out("*list")
      .loopWithVars(
        LoopVars.var("*i", 0).var("*acc", []),
        Block.ifTrue(
          expr(Ops.EQUAL, "*i", expr(Ops.SIZE, "*list")),
          Block.emitLoop("*acc"),
          Block.each(Ops.GET, "*list", "*i")
            .out({ userId: "*author", content: "*content" })
            .select("$$profiles", Path.key("*author", "displayName"))
            .out("*name")
            .each(
              (acc: unknown[], name: string, content: string) => [...acc, { name, content }],
              "*acc",
              "*name",
              "*content",
            )
            .out("*next")
            .continueLoop(expr(Ops.INC, "*i"), "*next"),
        ),
      )
      .out("*resultMap")
      .originPartition();
  }

  private views(topologies: Topologies) {
    const views = topologies.stream("profileViews");
    views.pstate("$$profileViews", PState.mapSchema(String, PState.mapSchema(Number, Number).subindexed()));
    views
      .source("*profileViewsDepot")
      .out({ toUserId: "*toUserId", timestamp: "*timestamp" })
      .each((timestamp: number) => Math.floor(timestamp / dayMs), "*timestamp")
      .out("*bucket")
      .compoundAgg("$$profileViews", CompoundAgg.map("*toUserId", CompoundAgg.map("*bucket", Agg.count())));
  }
}

test("RamaSpaceModule: registration, friends, walls page by page with authors' names, views by day", async () => {
  await using ipc = await InProcessCluster.create({
    classes: [UserRegistration, DisplayNameEdit, Post, FriendRequest, FriendshipAdd, ProfileView],
  });
  const module = await ipc.launchModule(RamaSpaceModule, { tasks: 4, threads: 2, workers: 2 });
  const append = (depot: string, record: unknown) => module.depot(depot).append(record);
  await append("*userRegistrationsDepot", new UserRegistration("alice", "a@x", "Alice"));
  await append("*userRegistrationsDepot", new UserRegistration("alice", "other@x", "Imposter"));
  await append("*userRegistrationsDepot", new UserRegistration("bob", "b@x", "Bob"));
  await append("*profileEditsDepot", new DisplayNameEdit("alice", "Alice S."));
  const read = (pstate: string, path: Path) => module.pstate(pstate).select(path);
  expect(await read("$$profiles", Path.key("alice"))).toEqual([{ email: "a@x", displayName: "Alice S." }]);

  await append("*friendRequestsDepot", new FriendRequest("bob", "alice"));
  expect(await read("$$incomingFriendRequests", Path.key("alice").all())).toEqual(["bob"]);
  expect(await read("$$outgoingFriendRequests", Path.key("bob").all())).toEqual(["alice"]);
  await append("*friendshipChangesDepot", new FriendshipAdd("alice", "bob"));
  expect(await read("$$friends", Path.key("alice").all())).toEqual(["bob"]);
  expect(await read("$$friends", Path.key("bob").all())).toEqual(["alice"]);
  expect(await read("$$incomingFriendRequests", Path.key("alice").all())).toEqual([]);
  expect(await read("$$outgoingFriendRequests", Path.key("bob").all())).toEqual([]);

  for (let i = 0; i < 5; i++) await append("*postsDepot", new Post(i % 2 ? "alice" : "bob", "alice", `p${i}`));
  expect(await module.query("resolvePosts").invoke("alice", 0)).toEqual([
    { name: "Bob", content: "p4" },
    { name: "Alice S.", content: "p3" },
    { name: "Bob", content: "p2" },
  ]);
  const ids = await read("$$posts", Path.key("alice").mapKeys());
  expect(await module.query("resolvePosts").invoke("alice", ids[3])).toEqual([
    { name: "Alice S.", content: "p1" },
    { name: "Bob", content: "p0" },
  ]);

  for (const day of [0, 0, 1, 3]) await append("*profileViewsDepot", new ProfileView("bob", "alice", day * dayMs + 5));
  expect(
    await module
      .pstate("$$profileViews")
      .selectOne(Path.key("alice").subselect(Path.sortedMapRange(0, 3).mapVals()).view(Ops.SUM)),
  ).toBe(3);
});

class BankModule extends RamaModule {
  define(setup: Setup, topologies: Topologies) {
    setup.declareDepot("*depositDepot", Depot.hashBy("userId"));
    setup.declareDepot("*transferDepot", Depot.hashBy("fromUserId"));
    const banking = topologies.stream("banking");
    banking.pstate("$$funds", PState.mapSchema(Number, Number));
    const transfers = PState.mapSchema(
      Number,
      PState.mapSchema(String, PState.fixedKeysSchema({ other: Number, amt: Number, ok: Boolean })).subindexed(),
    );
    banking.pstate("$$outgoing", transfers);
    banking.pstate("$$incoming", transfers);
    banking
      .source("*depositDepot")
      .out({ userId: "*userId", amt: "*amt" })
      .compoundAgg("$$funds", CompoundAgg.map("*userId", Agg.sum("*amt")));
    banking
      .source("*transferDepot")
      .out({ transferId: "*id", fromUserId: "*from", toUserId: "*to", amt: "*amt" })
      .localSelect("$$funds", Path.key("*from").nullToVal(0))
      .out("*funds")
      .each(Ops.GREATER_THAN_OR_EQUAL, "*funds", "*amt")
      .out("*ok")
      .ifTrue("*ok", Block.localTransform("$$funds", Path.key("*from").term(Ops.MINUS, "*amt")))
      .localTransform("$$outgoing", Path.key("*from", "*id").termFields({ other: "*to", amt: "*amt", ok: "*ok" }))
      .hashPartition("*to")
      .ifTrue("*ok", Block.compoundAgg("$$funds", CompoundAgg.map("*to", Agg.sum("*amt"))))
      .localTransform("$$incoming", Path.key("*to", "*id").termFields({ other: "*from", amt: "*amt", ok: "*ok" }));
  }
}

test("BankTransfer as a stream: funds are checked, debited and credited on two tasks", async () => {
  await using ipc = await InProcessCluster.create();
  const module = await ipc.launchModule(BankModule, { tasks: 8, threads: 2 });
  const transfer = module.depot("*transferDepot");
  await module.depot("*depositDepot").append({ userId: 0, amt: 200 });
  await module.depot("*depositDepot").append({ userId: 1, amt: 100 });
  await transfer.append({ transferId: "t1", fromUserId: 0, toUserId: 1, amt: 150 });
  await transfer.append({ transferId: "t2", fromUserId: 0, toUserId: 1, amt: 100 });
  const funds = module.pstate("$$funds");
  expect([await funds.selectOne(Path.key(0)), await funds.selectOne(Path.key(1))]).toEqual([50, 250]);
  expect(await module.pstate("$$outgoing").selectOne(Path.key(0, "t2", "ok"))).toBe(false);
  expect(await module.pstate("$$incoming").selectOne(Path.key(1, "t1"))).toEqual({ other: 0, amt: 150, ok: true });
});

class SortedMapRangeModule extends RamaModule {
  define(setup: Setup, topologies: Topologies) {
    setup.declareDepot("*depot", Depot.random());
    const s = topologies.stream("s");
    s.pstate(
      "$$p",
      PState.mapSchema(String, PState.mapSchema(String, PState.mapSchema(Number, Number).subindexed()).subindexed()),
    );
    s.source("*depot")
      .out(["*k", "*k2", "*minute", "*n"])
      .hashPartition("*k")
      .compoundAgg("$$p", CompoundAgg.map("*k", CompoundAgg.map("*k2", CompoundAgg.map("*minute", Agg.sum("*n")))));
  }
}

test("SortedMapRangeModule: subindexed within subindexed, ranges and sums from the client", async () => {
  await using ipc = await InProcessCluster.create();
  const module = await ipc.launchModule(SortedMapRangeModule, { tasks: 2 });
  const depot = module.depot("*depot");
  await Promise.all(Array.from({ length: 60 }, (_, minute) => depot.append(["a", minute % 2 ? "x" : "y", minute, 1])));
  const p = module.pstate("$$p");
  expect(await p.selectOne(Path.key("a", "x").sortedMapRange(10, 20).view(Ops.SIZE))).toBe(5);
  expect(await p.selectOne(Path.key("a", "y").subselect(Path.sortedMapRange(0, 10).mapVals()).view(Ops.SUM))).toBe(5);
  expect(await p.select(Path.key("a").sortedMapRangeFrom("x").mapKeys())).toEqual(["x", "y"]);
  expect(await p.select(Path.key("a").mapVals().sortedMapRangeToEnd(1).mapKeys())).toEqual([59, 58]);
});
