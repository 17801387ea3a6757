// Small programs by the public API alone, as a user would write them, each over several tasks, threads and workers.
import { expect, test } from "bun:test";
import {
  AckLevel,
  Agg,
  Block,
  Case,
  CompoundAgg,
  Depot,
  emitStream,
  expr,
  gt,
  LoopVars,
  Ops,
  Path,
  PState,
  RamaError,
  RamaModule,
  type Setup,
  StreamSourceOptions,
  SubSource,
  type Topologies,
} from "rama";
import { InProcessCluster } from "rama/test";

const launch = { tasks: 4, threads: 2, workers: 2 };

async function codeOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => "resolved",
    (error) => (error instanceof RamaError ? error.code : `not a RamaError: ${error}`),
  );
}

class ProfilesModule extends RamaModule {
  define(setup: Setup, topologies: Topologies) {
    setup.declareDepot("*registrations", Depot.hashBy("username"));
    const s = topologies.stream("profiles");
    s.pstate("$$profiles", PState.mapSchema(String, PState.fixedKeysSchema({ id: String, name: String })));
    s.source("*registrations")
      .out({ username: "*username", id: "*id", name: "*name" })
      .localSelect("$$profiles", Path.key("*username", "id"))
      .out("*current")
      .ifTrue(
        expr(Ops.IS_NULL, "*current"),
        Block.localTransform(
          "$$profiles",
          Path.key("*username").multiPath(Path.key("id").termVal("*id"), Path.key("name").termVal("*name")),
        ).ackReturn(true),
        Block.ackReturn(false),
      );
  }
}

test("a user name is registered once, and the ack returns say for whom", async () => {
  await using ipc = await InProcessCluster.create();
  const module = await ipc.launchModule(ProfilesModule, launch);
  const registrations = module.depot("*registrations");
  const [first, second] = await Promise.all([
    registrations.append({ username: "ann", id: "1", name: "Ann" }),
    registrations.append({ username: "ann", id: "2", name: "Other" }),
  ]);
  expect([first, second]).toEqual([{ profiles: true }, { profiles: false }]);
  expect(await module.pstate("$$profiles").selectOne(Path.key("ann"))).toEqual({ id: "1", name: "Ann" });
  const many = await registrations.appendMany([
    { username: "bob", id: "3", name: "Bob" },
    { username: "ann", id: "4", name: "A" },
  ]);
  expect(many).toEqual({ appended: 2, ackReturns: [{ profiles: true }, { profiles: false }], failures: [] });
});

class EventsModule extends RamaModule {
  define(setup: Setup, topologies: Topologies) {
    setup.declareDepot(
      "*events",
      Depot.hashBy((event: { at: number }) => event.at % 10),
    );
    setup.declareDepot("*out", Depot.disallow());
    setup.declareDepot("*custom", { choosePartitionIndex: (record: number) => record });
    const s = topologies.stream("events");
    s.pstate("$$byUser", PState.mapSchema(String, PState.mapSchema(Number, Object).subindexed()));
    s.pstate("$$kinds", PState.mapSchema(String, Number)).global();
    s.pstate("$$odd", PState.mapSchema(Number, Number));
    s.source("*events")
      .out("*event", { user: "*user", at: "*at", kind: "*kind" })
      .hashPartition("*user")
      .localTransform("$$byUser", Path.key("*user", "*at").termVal("*event"))
      .depotPartitionAppend("*out", "*event")
      .globalPartition()
      .compoundAgg("$$kinds", CompoundAgg.map("*kind", Agg.count()));
    s.source("*custom")
      .out("*n")
      .each(function* (n: number) {
        if (n % 2 === 1) yield emitStream("odd", n);
        else yield n;
      }, "*n")
      .outStream("odd", "oddAnchor", "*o")
      .out("*e")
      .hook("oddAnchor")
      .hashPartition("*o")
      .localTransform("$$odd", Path.key("*o").nullToVal(0).term(Ops.INC));
  }
}

test("functions as schemes, subindexed ranges, global PStates, appends of topologies, named streams", async () => {
  await using ipc = await InProcessCluster.create();
  const module = await ipc.launchModule(EventsModule, launch);
  const events = module.depot("*events");
  await Promise.all(
    Array.from({ length: 60 }, (_, at) => events.append({ user: `u${at % 3}`, at, kind: at % 2 ? "view" : "buy" })),
  );
  const byUser = module.pstate("$$byUser");
  expect(await byUser.select(Path.key("u1").sortedMapRange(5, 14).mapKeys())).toEqual([7, 10, 13]);
  expect(await byUser.selectOne(Path.key("u1").view(Ops.SIZE))).toBe(20);
  expect(
    await byUser.selectOne(Path.key("u1").sortedMapRangeFrom(50, { maxAmt: 2 }).subselect(Path.mapKeys())),
  ).toEqual([52, 55]);
  const kinds = module.pstate("$$kinds");
  expect(await kinds.select(Path.mapVals())).toEqual([30, 30]);
  expect(await kinds.getObjectInfo()).toMatchObject({ numPartitions: 1 });
  let appended = 0;
  for (let task = 0; task < 4; task++) {
    const { startOffset, endOffset } = await module.depot("*out").getPartitionInfo(task);
    const records = await module.depot("*out").read(task, startOffset, endOffset);
    expect(records).toHaveLength(endOffset);
    appended += records.length;
  }
  expect(appended).toBe(60);
  expect(await codeOf(module.depot("*out").append(1))).toBe("NOT_APPENDABLE");
  const custom = module.depot("*custom");
  await Promise.all([1, 2, 3].map((n) => custom.append(n)));
  expect(await custom.getPartitionInfo(3)).toEqual({ startOffset: 0, endOffset: 1 });
  expect(await codeOf(custom.append(17))).toBe("BAD_PARTITION");
  expect(await module.pstate("$$odd").selectOne(Path.key(3))).toBe(1);
  expect(await module.pstate("$$odd").selectOne(Path.key(2))).toBe(null);
});

class FollowModule extends RamaModule {
  define(setup: Setup, topologies: Topologies) {
    setup.declareDepot("*social", Depot.hashBy("from"));
    const s = topologies.stream("social");
    s.pstate("$$follows", PState.mapSchema(String, PState.setSchema(String).subindexed()));
    s.source("*social", StreamSourceOptions.retryNone())
      .out("*data")
      .subSource(
        "*data",
        SubSource.create({ type: "follow" })
          .bind("*data", { from: "*from", to: "*to" })
          .localTransform("$$follows", Path.key("*from").voidSetElem().termVal("*to")),
        SubSource.create({ type: "unfollow" })
          .bind("*data", { from: "*from", to: "*to" })
          .localTransform("$$follows", Path.key("*from").setElem("*to").termVoid()),
      );
    topologies
      .query("countTo", "*n")
      .out("*sum")
      .loopWithVars(
        LoopVars.var("*i", 0).var("*acc", 0),
        Block.ifTrue(
          gt("*i", "*n"),
          Block.emitLoop("*acc"),
          Block.continueLoop(expr(Ops.INC, "*i"), expr(Ops.PLUS, "*acc", "*i")),
        ),
      )
      .out("*sum")
      .originPartition();
    topologies
      .query("sizes", "*a", "*b")
      .out("*total")
      .hashPartition("*a")
      .localSelect("$$follows", Path.key("*a").view(Ops.SIZE))
      .out("*x")
      .hashPartition("*b")
      .localSelect("$$follows", Path.key("*b").view(Ops.SIZE))
      .out("*y")
      .each(Ops.PLUS, "*x", "*y")
      .out("*total")
      .originPartition();
  }
}

test("records by their kind, sets, and query topologies over several tasks", async () => {
  await using ipc = await InProcessCluster.create();
  const module = await ipc.launchModule(FollowModule, launch);
  const social = module.depot("*social");
  for (const to of ["b", "c", "d"]) await social.append({ type: "follow", from: "a", to });
  await social.append({ type: "unfollow", from: "a", to: "c" });
  await social.append({ type: "follow", from: "z", to: "a" });
  expect(await module.pstate("$$follows").select(Path.key("a").all())).toEqual(["b", "d"]);
  expect(await module.query<number>("sizes").invoke("a", "z")).toBe(3);
  expect(await module.query<number>("countTo").invoke(10)).toBe(55);
  const failed = await social.append({ type: "nonsense", from: "a" }).then(
    () => undefined,
    (error) => error,
  );
  expect(failed).toMatchObject({ code: "PROCESSING_FAILED", facts: { stored: true } });
  expect(failed.message).toContain("social");
  expect(failed.cause).toBeInstanceOf(Error);
  expect(await codeOf(module.query("sizes").invoke("a"))).toBe("WRONG_ARGUMENT_COUNT");
  expect(await codeOf(module.query("none").invoke("a"))).toBe("UNKNOWN_OBJECT");
});

class CondModule extends RamaModule {
  define(setup: Setup, topologies: Topologies) {
    setup.declareDepot("*n", Depot.random()).global();
    const s = topologies.stream("sizes");
    s.pstate("$$sizes", PState.mapSchema(String, Number)).global();
    s.pstate("$$last", Number).global().initialValue(-1);
    s.source("*n")
      .out("*n")
      .cond(
        Case.create(gt("*n", 100)).each(Ops.IDENTITY, "big").out("*size"),
        Case.create(gt("*n", 10)).each(Ops.IDENTITY, "middle").out("*size"),
        Case.create(true).each(Ops.IDENTITY, "small").out("*size"),
      )
      .compoundAgg("$$sizes", CompoundAgg.map("*size", Agg.count()))
      .localTransform("$$last", Path.termVal("*n"));
  }
}

test("conditions, initial values, destroy and launch again", async () => {
  await using ipc = await InProcessCluster.create();
  const module = await ipc.launchModule(CondModule, launch);
  expect(await module.pstate("$$last").selectOne(Path.stay())).toBe(-1);
  for (const n of [5, 50, 500, 7]) await module.depot("*n").append(n, AckLevel.ACK);
  expect(await module.pstate("$$sizes").selectOne(Path.subMap("big", "middle", "small"))).toEqual(
    new Map([
      ["big", 1],
      ["middle", 1],
      ["small", 2],
    ]),
  );
  expect(await module.pstate("$$last").selectOne(Path.stay())).toBe(7);
  await module.waitForProcessed("sizes", 4);
  expect(await ipc.getDeployedModuleNames()).toEqual(new Set(["CondModule"]));
  expect(await codeOf(ipc.launchModule(CondModule, launch))).toBe("MODULE_EXISTS");
  await module.destroy();
  expect(await codeOf(module.depot("*n").append(1))).toBe("MODULE_NOT_FOUND");
  const again = await ipc.launchModule(CondModule, { tasks: 1 });
  expect(await again.pstate("$$last").selectOne(Path.stay())).toBe(-1);
});

class TickModule extends RamaModule {
  define(setup: Setup, topologies: Topologies) {
    setup.declareTickDepot("*tick", 60_000);
    const s = topologies.stream("ticks");
    s.pstate("$$ticks", PState.mapSchema(Number, Number));
    s.source("*tick")
      .allPartition()
      .each(Ops.CURRENT_TASK_ID)
      .out("*task")
      .localTransform("$$ticks", Path.key(0).nullToVal(0).term(Ops.INC));
  }
}

test("ticks by hand reach every task", async () => {
  await using ipc = await InProcessCluster.create({ manualTicks: true });
  const module = await ipc.launchModule(TickModule, launch);
  await ipc.tick("TickModule", "*tick");
  await ipc.tick(TickModule, "*tick");
  for (const key of [0, 1, 2, 3, 4, 5]) expect(await module.pstate("$$ticks").selectOne(key, Path.key(0))).toBe(2);
  expect(await codeOf(module.depot("*tick").append(1))).toBe("NOT_APPENDABLE");
});

class Deposit {
  constructor(
    readonly user: string,
    readonly cents: number,
  ) {}
}
class Note {
  constructor(readonly text: string) {}
}
class Unknown {
  readonly x = 1;
}

class AccountsModule extends RamaModule {
  define(setup: Setup, topologies: Topologies) {
    setup.declareDepot("*changes", Depot.hashBy("user"));
    const s = topologies.stream("accounts");
    s.pstate("$$funds", PState.mapSchema(String, BigInt));
    s.pstate("$$notes", PState.mapSchema(String, Note));
    s.source("*changes")
      .out("*change")
      .ifTrue(
        true,
        Block.subSource(
          "*change",
          SubSource.create(Deposit)
            .bind("*change", { user: "*user", cents: "*cents" })
            .localTransform("$$funds", Path.key("*user").nullToVal(0).term(Ops.PLUS, "*cents"))
            .each((user: string) => new Note(`last of ${user}`), "*user")
            .out("*note")
            .localTransform("$$notes", Path.key("*user").termVal("*note")),
        ),
      );
  }
}

test("class instances travel, are told apart, stored and read back as instances", async () => {
  await using ipc = await InProcessCluster.create();
  const module = await ipc.launchModule(AccountsModule, launch);
  const changes = module.depot("*changes");
  await changes.append(new Deposit("ann", 250));
  await changes.append(new Deposit("ann", 50));
  expect(await module.pstate("$$funds").selectOne(Path.key("ann"))).toBe(300n);
  expect(await module.pstate("$$notes").selectOne(Path.key("ann"))).toEqual(new Note("last of ann"));
  expect(await codeOf(changes.append(new Unknown()))).toBe("NOT_SERIALIZABLE");
});
