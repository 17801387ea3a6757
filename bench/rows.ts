// The rows of the speed tables of issues 2 and 3: what runs in turns for each, and what is compared.
import { join, resolve } from "node:path";
import { type Command, inTurns, pick, type Result } from "./turns.ts";

const root = resolve(import.meta.dir, "..");

/** What a row may ask for. */
export interface Bench {
  readonly conductor: string;
  readonly executable: string;
  readonly common: readonly string[];
  readonly runs: string;
  /** Records of the counting rows. */
  readonly n: string;
  /** Seconds that the fan-out is held. */
  readonly hold: string;
  /** Launches a module; unless it runs already. */
  deploy(file: string, module: string, tasks?: number): Promise<void>;
  destroy(module: string): Promise<void>;
  compare(row: string, ours: Result, peer: Result): void;
  figure(row: string, value: number): void;
}

const counts = "bench/modules/count.ts";
const microbatchCounts = "bench/modules/microbatch-count.ts";
const reads = "bench/modules/reads.ts";
const transfers = "bench/modules/transfers.ts";

function ours(bench: Bench, job: string, module: string, ...more: string[]): Command {
  const words = [process.execPath, join(root, "bench/ours.ts"), "--conductor", bench.conductor, "--job", job, "--module", module];
  return { words: [...words, ...bench.common, ...more], cwd: root };
}

function peer(script: string, stack: string, ...more: string[]): Command {
  return { words: [process.execPath, script, "--stack", stack, ...more], cwd: join(root, "bench/peers") };
}

export const rows: Readonly<Record<string, (bench: Bench) => Promise<void>>> = {
  // ---- issue 2

  async wordcount(bench) {
    await bench.deploy(counts, "CountModule");
    const n = ["--n", bench.n];
    const [mine, redis, sqlite] = await inTurns([
      ours(bench, "wordcount", "CountModule", ...n),
      peer("1-wordcount.mjs", "redis-always", ...n, "--runs", bench.runs),
      peer("1-wordcount.mjs", "sqlite", ...n, "--runs", bench.runs),
    ]);
    bench.compare("counts per user, events/s, against Redis always + worker", mine![0]!, redis![0]!);
    bench.compare("counts per user, events/s, against SQLite in process", mine![0]!, sqlite![0]!);
  },

  async append(bench) {
    await bench.deploy(counts, "CountModule");
    for (const width of ["64", "1024"]) {
      const [mine, redis] = await inTurns([
        ours(bench, "append", "CountModule", "--width", width),
        peer("2-append.mjs", "redis-always", "--width", width, ...bench.common),
      ]);
      if (width === "64") bench.compare("one acked append at a time, p50 ms", pick(mine!, "p50, 1 in"), pick(redis!, "p50, 1 in"));
      const rate = `appends, ${width} in`;
      bench.compare(`acked appends/s, ${width} in flight`, pick(mine!, rate), pick(redis!, rate));
    }
  },

  async read(bench) {
    await bench.deploy(counts, "CountModule");
    const [mine, redis] = await inTurns([
      ours(bench, "read", "CountModule"),
      peer("3-read.mjs", "redis", ...bench.common),
    ]);
    bench.compare("point reads/s, 64 in flight", pick(mine!, "reads, 64"), pick(redis!, "reads, 64"));
    bench.compare("point read p50 ms, 1 in flight", pick(mine!, "p50, 1 in"), pick(redis!, "p50, 1 in"));
  },

  async visible(bench) {
    await bench.deploy(counts, "CountModule");
    for (const load of ["0", "1000"]) {
      const [mine, redis] = await inTurns([
        ours(bench, "visible", "CountModule", "--load", load),
        peer("4-visible.mjs", "redis-always", "--load", load, ...bench.common),
      ]);
      const p = load === "0" ? "p50" : "p99";
      bench.compare(`append to visible, ${p} ms, ${load} events/s beside`, pick(mine!, `visible ${p}`), pick(redis!, `visible ${p}`));
    }
  },

  // ---- issue 3

  async transfer(bench) {
    for (const module of ["MicrobatchTransfers", "StreamTransfers"]) {
      await bench.deploy(transfers, module);
      for (const width of ["16", "256"]) {
        // PostgreSQL has a process for each connection: more than 64 only slow it down.
        const [mine, pg, redis] = await inTurns([
          ours(bench, "transfers", module, "--width", width),
          peer("6-transfer.mjs", "pg-fn", ...bench.common, "--width", width === "16" ? width : "64"),
          peer("6-transfer.mjs", "redis-lua-always", ...bench.common, "--width", width),
        ]);
        const rate = (all: Result[]) => pick(all, "transfers, ");
        bench.compare(`${module}, ${width} in flight, transfers/s, against a PostgreSQL function`, rate(mine!), rate(pg!));
        bench.compare(`${module}, ${width} in flight, transfers/s, against Redis Lua always`, rate(mine!), rate(redis!));
      }
      await bench.destroy(module);
    }
  },

  async fanout(bench) {
    const redis = peer("5-fanout.mjs", "redis-lua-everysec", "--hold", bench.hold);
    const variants = [
      { file: "examples/timelines.ts", module: "TimelinesModule", more: ["--batch", "200", "--inflight", "8"] },
      { file: "examples/timelines-in-memory.ts", module: "TimelinesInMemory", more: ["--batch", "100", "--inflight", "4"] },
    ];
    const peers = (await inTurns([redis]))[0]!;
    for (const { file, module, more } of variants) {
      await bench.deploy(file, module);
      const [mine] = await inTurns([ours(bench, "fanout", module, "--seconds", bench.hold, "--load", "100", ...more)]);
      await bench.destroy(module);
      const row = `${module}, held ${bench.hold} s, 100 reads/s beside`;
      bench.compare(`${row}, timeline writes/s, against Redis Lua everysec`, mine![0]!, peers[0]!);
      bench.compare(`${row}, read of 20 p50 ms`, pick(mine!, "p50"), pick(peers, "p50"));
      bench.compare(`${row}, read of 20 p99 ms`, pick(mine!, "p99"), pick(peers, "p99"));
    }
  },

  async lowload(bench) {
    await bench.deploy(microbatchCounts, "MicrobatchCountModule");
    const [mine] = await inTurns([ours(bench, "lowLoad", "MicrobatchCountModule")]);
    for (const p of ["p50", "p99"]) bench.figure(`microbatch at low load, append to visible ${p}, ms`, pick(mine!, p).value);
    await bench.destroy("MicrobatchCountModule");
  },

  async mbcount(bench) {
    await bench.deploy(counts, "CountModule");
    await bench.deploy(microbatchCounts, "MicrobatchCountModule");
    const n = ["--n", bench.n];
    const [batch, stream] = await inTurns([
      ours(bench, "wordcount", "MicrobatchCountModule", ...n),
      ours(bench, "wordcount", "CountModule", ...n),
    ]);
    bench.compare("counts per user by microbatch, events/s, against our stream", batch![0]!, stream![0]!);
    await bench.destroy("MicrobatchCountModule");
  },

  async query(bench) {
    await bench.deploy(reads, "ReadsModule", 8);
    const [mine] = await inTurns([ours(bench, "query", "ReadsModule")]);
    bench.figure("query of all 8 tasks, 1 in flight, p50, ms", pick(mine!, "p50, 1 in").value);
  },

  async nested(bench) {
    await bench.deploy(reads, "ReadsModule", 8);
    const [mine, redis] = await inTurns([
      ours(bench, "nested", "ReadsModule"),
      peer("3-read.mjs", "redis", ...bench.common),
    ]);
    bench.compare("a value three levels deep, reads/s, 64 in flight, against HGET", pick(mine!, "reads, 64"), pick(redis!, "reads, 64"));
  },

  async range(bench) {
    await bench.deploy(reads, "ReadsModule", 8);
    const n = ["--n", "1000000"];
    const [mine, pg] = await inTurns([
      ours(bench, "range", "ReadsModule", ...n),
      peer("8-range.mjs", "pg", ...n, ...bench.common),
    ]);
    bench.compare("range of 20 out of 1 M, reads/s, 64 in flight, against PostgreSQL", pick(mine!, "20, 64"), pick(pg!, "20, 64"));
    bench.compare("range of 20 out of 1 M, p50 ms, 1 in flight", pick(mine!, "p50, 1 in"), pick(pg!, "p50, 1 in"));
    await bench.destroy("ReadsModule");
  },

  async update(bench) {
    await bench.deploy(counts, "CountModule");
    const update = [bench.executable, "deploy", "--action", "update", "--jar", join(root, counts), "--module", "CountModule"];
    const [mine] = await inTurns([
      ours(bench, "update", "CountModule", "--load", "20000", "--update", update.join(" ")),
    ]);
    for (const what of ["append", "read"]) bench.figure(`update under 20 k appends/s, longest ${what} stall, ms`, pick(mine!, `longest ${what}`).value);
  },
};
