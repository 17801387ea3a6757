// language.md 19: task globals, eachAsync.
import { expect, test } from "bun:test";
import {
  Agg,
  CompoundAgg,
  Depot,
  Ops,
  Path,
  PState,
  StreamSourceOptions,
  type TaskGlobalContext,
  type TaskGlobalObject,
  TaskThreadManagedResource,
  WorkerManagedResource,
} from "rama";
import { InProcessCluster } from "rama/test";
import { codeOf, errorOf, moduleOf } from "./observed.ts";

const launch = { tasks: 4, threads: 2 };

test("a plain value is a constant of all tasks", async () => {
  await using ipc = await InProcessCluster.create();
  const module = await ipc.launchModule(
    moduleOf("Plain", (setup, topologies) => {
      setup.declareObject("*prices", new Map([["apple", 5]]));
      setup.declareObject("*factor", 2);
      topologies
        .query("price", "*what")
        .out("*r")
        .select("*prices", Path.key("*what"))
        .out("*p")
        .each(Ops.TIMES, "*p", "*factor")
        .out("*r")
        .originPartition();
    }),
    launch,
  );
  expect(await module.query("price").invoke("apple")).toBe(10);
});

class Timelines implements TaskGlobalObject {
  readonly items: string[] = [];
  prepared: [number, string, number, number[]] | undefined;
  leads = 0;

  constructor(readonly log: string[]) {}

  prepareForTask(taskId: number, context: TaskGlobalContext): void {
    const info = context.getModuleInstanceInfo();
    this.prepared = [taskId, context.getVarName(), info.numTasks, context.getTaskGroup()];
  }
  gainedLeadership(): void {
    this.leads++;
  }
  close(): void {
    this.log.push(`closed ${this.prepared![0]}`);
  }
}

test("a function makes one object per task; its life cycle is called; it resolves to the current task's", async () => {
  const log: string[] = [];
  const given: number[] = [];
  const ipc = await InProcessCluster.create();
  const module = await ipc.launchModule(
    moduleOf("PerTask", (setup, topologies) => {
      setup.declareObject("*timelines", (taskId: number) => {
        given.push(taskId);
        return new Timelines(log);
      });
      setup.declareDepot("*d", Depot.hashBy(Ops.IDENTITY));
      topologies
        .stream("s")
        .source("*d")
        .out("*k")
        .each((t: Timelines, k: string) => void t.items.push(k), "*timelines", "*k")
        .allPartition()
        .each((t: Timelines) => void t.items.push("all"), "*timelines");
      topologies
        .query("at", "*task")
        .out("*r")
        .directPartition("*task")
        .each((t: Timelines) => [t.prepared, t.items, t.leads], "*timelines")
        .out("*r")
        .originPartition();
    }),
    launch,
  );
  expect(given.sort()).toEqual([0, 1, 2, 3]);
  await module.depot("*d").append("x");
  const all = await Promise.all([0, 1, 2, 3].map((task) => module.query("at").invoke(task)));
  expect(all.map(([prepared]) => prepared)).toEqual([
    [0, "*timelines", 4, [0, 2]],
    [1, "*timelines", 4, [1, 3]],
    [2, "*timelines", 4, [0, 2]],
    [3, "*timelines", 4, [1, 3]],
  ]);
  expect(all.map(([, items]) => items.filter((item: string) => item === "all").length)).toEqual([1, 1, 1, 1]);
  expect(all.flatMap(([, items]) => items).filter((item: string) => item === "x")).toEqual(["x"]);
  expect(all.map(([, , leads]) => leads)).toEqual([1, 1, 1, 1]);
  await ipc.close();
  expect(log.sort()).toEqual(["closed 0", "closed 1", "closed 2", "closed 3"]);
});

test("an instance that has prepareForTask is refused, with the advice to give a function", async () => {
  await using ipc = await InProcessCluster.create();
  const error = await errorOf(
    ipc.launchModule(
      moduleOf("Instance", (setup) => setup.declareObject("*t", new Timelines([]))),
      launch,
    ),
  );
  expect(error.message).toContain("() => new Timelines(");
});

test("an object with tick is called at its period between events", async () => {
  await using ipc = await InProcessCluster.create();
  let ticks = 0;
  let reached: () => void = () => {};
  const three = new Promise<void>((resolve) => {
    reached = resolve;
  });
  await ipc.launchModule(
    moduleOf("Ticked", (setup) => {
      setup.declareObject("*t", () => ({
        getFrequencyMillis: () => 5,
        tick() {
          if (++ticks === 3) reached();
        },
      }));
    }),
    { tasks: 1 },
  );
  await three;
  expect(ticks).toBeGreaterThanOrEqual(3);
});

test("resources are shared per worker and per thread, and closed by the last user", async () => {
  const made: string[] = [];
  const closed: string[] = [];
  class Client {
    constructor(readonly name: string) {
      made.push(name);
    }
    close() {
      closed.push(this.name);
    }
  }
  class Holder implements TaskGlobalObject {
    worker!: WorkerManagedResource<Client>;
    thread!: TaskThreadManagedResource<Client>;
    prepareForTask(_taskId: number, context: TaskGlobalContext) {
      this.worker = new WorkerManagedResource("client", context, () => new Client("worker"));
      this.thread = new TaskThreadManagedResource("client", context, () => new Client("thread"));
    }
    async close() {
      await this.worker.close();
      await this.thread.close();
    }
  }
  const ipc = await InProcessCluster.create();
  const module = await ipc.launchModule(
    moduleOf("Shared", (setup, topologies) => {
      setup.declareObject("*holder", () => new Holder());
      topologies
        .query("name")
        .out("*r")
        .each((holder: Holder) => [holder.worker.getResource().name, holder.thread.getResource().name], "*holder")
        .out("*r")
        .originPartition();
    }),
    { tasks: 8, threads: 4, workers: 2 },
  );
  expect(await module.query("name").invoke()).toEqual(["worker", "thread"]);
  expect(made.sort()).toEqual(["thread", "thread", "thread", "thread", "worker", "worker"]);
  await ipc.close();
  expect(closed.sort()).toEqual(made);
});

test("eachAsync suspends the event and goes on on the same task with the value", async () => {
  await using ipc = await InProcessCluster.create();
  const module = await ipc.launchModule(
    moduleOf("Async", (setup, topologies) => {
      setup.declareObject("*client", () => ({ get: async (id: string) => `profile of ${id}` }));
      setup.declareDepot("*get", Depot.hashBy(Ops.IDENTITY));
      const s = topologies.stream("s");
      s.pstate("$$answers", PState.mapSchema(String, String));
      s.pstate("$$tasks", PState.mapSchema(String, PState.setSchema(Number)));
      s.source("*get")
        .out("*id")
        .each(Ops.CURRENT_TASK_ID)
        .out("*t0")
        .eachAsync((client: { get(id: string): Promise<string> }, id: string) => client.get(id), "*client", "*id")
        .out("*answer")
        .each(Ops.CURRENT_TASK_ID)
        .out("*t1")
        .localTransform("$$answers", Path.key("*id").termVal("*answer"))
        .compoundAgg("$$tasks", CompoundAgg.map("*id", Agg.set("*t0")))
        .compoundAgg("$$tasks", CompoundAgg.map("*id", Agg.set("*t1")));
      topologies
        .query("slow", "*n")
        .out("*r")
        .eachAsync(async (n: number) => n + 1, "*n")
        .out("*r")
        .originPartition();
    }),
    launch,
  );
  await Promise.all(["a", "b", "c"].map((id) => module.depot("*get").append(id)));
  for (const id of ["a", "b", "c"]) {
    expect(await module.pstate("$$answers").selectOne(Path.key(id))).toBe(`profile of ${id}`);
    expect(await module.pstate("$$tasks").selectOne(Path.key(id).view(Ops.SIZE))).toBe(1);
  }
  expect(await module.query("slow").invoke(1)).toBe(2);
});

test("a rejected promise fails the record or the query", async () => {
  await using ipc = await InProcessCluster.create();
  const down = async () => {
    throw new Error("service down");
  };
  const module = await ipc.launchModule(
    moduleOf("Down", (setup, topologies) => {
      setup.declareDepot("*d", Depot.random());
      topologies.stream("s").source("*d", StreamSourceOptions.retryNone()).out("*x").eachAsync(down).out("*v");
      topologies.query("q").out("*v").eachAsync(down).out("*v").originPartition();
    }),
    launch,
  );
  const error = await errorOf(module.depot("*d").append(1));
  expect([error.code, (error.cause as Error).message]).toEqual(["PROCESSING_FAILED", "service down"]);
  expect(await codeOf(module.query("q").invoke())).toBe("USER_CODE_FAILED");
});

test("a query changes a task global; TopologyUtils' clock is the cluster's", async () => {
  const { TopologyUtils } = await import("rama/helpers");
  await using ipc = await InProcessCluster.create({ clock: "simulated" });
  await ipc.advanceTime(1234);
  const module = await ipc.launchModule(
    moduleOf("Mutable", (setup, topologies) => {
      setup.declareObject("*counter", () => ({ n: 0 }));
      topologies
        .query("next")
        .out("*r")
        .globalPartition()
        .each((counter: { n: number }) => ++counter.n, "*counter")
        .out("*r")
        .originPartition();
      topologies
        .query("now")
        .out("*r")
        .each(() => TopologyUtils.currentTimeMillis())
        .out("*r")
        .originPartition();
    }),
    launch,
  );
  expect(await module.query("next").invoke()).toBe(1);
  expect(await module.query("next").invoke()).toBe(2);
  expect(await module.query("now").invoke()).toBe(1234);
  await ipc.advanceTime(6);
  expect(await module.query("now").invoke()).toBe(1240);
  expect(ipc.currentTimeMillis()).toBe(1240);
  expect(TopologyUtils.currentTimeMillis()).toBeGreaterThan(1e12);
});

test("the context tells the task, its group, its name, and gives clients", async () => {
  class Asking implements TaskGlobalObject {
    #context: TaskGlobalContext | undefined;
    prepareForTask(_taskId: number, context: TaskGlobalContext): void {
      this.#context = context;
    }
    async ask(k: string): Promise<unknown> {
      const cluster = this.#context!.getClusterRetriever() as InProcessCluster;
      this.#context!.getLogThrottler().log(`asked by ${this.#context!.getReplicaId()}`);
      return cluster.clusterPState("Asked", "$$n").selectOne(Path.key(k));
    }
  }
  await using ipc = await InProcessCluster.create();
  const module = await ipc.launchModule(
    moduleOf("Asked", (setup, topologies) => {
      setup.declareDepot("*d", Depot.hashBy(Ops.IDENTITY));
      setup.declareObject("*asking", () => new Asking());
      const s = topologies.stream("s");
      s.pstate("$$n", PState.mapSchema(String, Number));
      s.source("*d").out("*k").compoundAgg("$$n", CompoundAgg.map("*k", Agg.count()));
      topologies
        .query("ask", "*k")
        .out("*r")
        .eachAsync((asking: Asking, k: string) => asking.ask(k), "*asking", "*k")
        .out("*r")
        .originPartition();
    }),
    launch,
  );
  await module.depot("*d").append("x");
  expect(await module.query("ask").invoke("x")).toBe(1);
});

test("a task global keeps what a failed record did to it", async () => {
  await using ipc = await InProcessCluster.create();
  const module = await ipc.launchModule(
    moduleOf("Keeps", (setup, topologies) => {
      setup.declareDepot("*d", Depot.random()).global();
      setup.declareObject("*seen", () => ({ count: 0 }));
      const s = topologies.stream("s");
      s.pstate("$$n", PState.mapSchema(String, Number));
      s.source("*d", StreamSourceOptions.retryNone())
        .out("*k")
        .each((seen: { count: number }) => void seen.count++, "*seen")
        .compoundAgg("$$n", CompoundAgg.map("all", Agg.count()))
        .each((k: string) => {
          if (k === "bad") throw new Error("bad");
        }, "*k");
      topologies
        .query("seen")
        .out("*r")
        .globalPartition()
        .each((seen: { count: number }) => seen.count, "*seen")
        .out("*a")
        .localSelect("$$n", Path.key("all"))
        .out("*b")
        .each(Ops.TUPLE, "*a", "*b")
        .out("*r")
        .originPartition();
    }),
    launch,
  );
  await module.depot("*d").append("good");
  expect(await codeOf(module.depot("*d").append("bad"))).toBe("PROCESSING_FAILED");
  // The PState is rolled back, the task global is not.
  expect(await module.query("seen").invoke()).toEqual([2, 1]);
});
