// The CLI read aloud: help of every command, data as JSON, exit codes, bulk loading with progress, rejected lines and resume.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Unpacked, unpackedRelease, until } from "./built-release.ts";

let unpacked: Unpacked;

beforeAll(async () => {
  unpacked = unpackedRelease();
  const { cluster } = unpacked;
  await cluster.startAll();
  const deployed = await cluster.rama(
    "deploy",
    "--action",
    "launch",
    "--jar",
    "examples/word-count.ts",
    "--tasks",
    "4",
  );
  if (deployed.code !== 0) throw new Error(deployed.err);
}, 120_000);

afterAll(() => unpacked?.[Symbol.asyncDispose](), 30_000);

const rama = (...args: string[]) => unpacked.cluster.rama(...args);

async function records(): Promise<number> {
  const { out } = await rama("moduleStatus", "WordCountModule", "--json");
  const { engines } = JSON.parse(out) as { engines: { engines: { depots: { endOffset: number }[] }[] }[] };
  return engines
    .flatMap((worker) => worker.engines.flatMap((engine) => engine.depots))
    .reduce((n, d) => n + d.endOffset, 0);
}

test("help lists the commands at once, and each of them explains itself with an example and its exit codes", async () => {
  const { code, out } = await rama("help");
  expect(code).toBe(0);
  const names = out.split("\n").flatMap((line) => /^ {2}([a-z]\w+) {2}/i.exec(line)?.[1] ?? []);
  const wanted = [
    "append",
    "bundle",
    "conductor",
    "confValue",
    "deploy",
    "destroy",
    "dev",
    "devZookeeper",
    "help",
    "init",
  ];
  expect(names).toEqual(expect.arrayContaining([...wanted, "moduleStatus", "run", "select", "supervisor", "unpack"]));
  for (const name of names) {
    const help = await rama(name, "--help");
    expect([name, help.code, help.err]).toEqual([name, 0, ""]);
    expect(help.out).toContain(`usage: rama ${name}`);
    expect(help.out).toMatch(/example:\n {2}/);
    expect(help.out).toMatch(/Exit codes?: /);
  }
}, 30_000);

test("explain tells a module's plan, draws it where it is told to, and gives it as JSON without a file", async () => {
  const drawing = join(unpacked.home, "plan.svg");
  const told = await rama("explain", "examples/bank-transfers.ts", "-o", drawing);
  expect([told.code, told.out]).toEqual([0, expect.stringContaining("microbatch bank")]);
  expect(readFileSync(drawing, "utf8")).toStartWith("<svg ");
  const data = await rama("explain", "examples/bank-transfers.ts", "--json");
  const [plan] = JSON.parse(data.out) as { module: string; topologies: { writes: string[] }[] }[];
  expect([plan!.module, plan!.topologies[0]!.writes]).toEqual(["BankTransfers", ["$$funds", "$$outcomes"]]);
});

test("what prints data prints it as JSON, too", async () => {
  for (const args of [
    ["moduleStatus"],
    ["moduleStatus", "WordCountModule"],
    ["taskGroupsStatus", "WordCountModule"],
    ["select", "WordCountModule", "$$wordCounts", '["nothing"]'],
    ["append", "WordCountModule", "*sentences", '"x"'],
    ["confValue", "supervisor.labels"],
    ["options"],
    ["version"],
  ]) {
    const { code, out, err } = await rama(...args, "--json");
    expect([args, code, err]).toEqual([args, 0, ""]);
    expect(() => JSON.parse(out)).not.toThrow();
  }
  expect((await rama("moduleStatus", "WordCountModule")).out).toContain("RUNNING");
});

test("exit codes tell refusals, wrong arguments and a cluster that is not there apart", async () => {
  for (const [code, args, said] of [
    [1, ["moduleStatus", "Nope"], /no module named Nope; deployed: WordCountModule/],
    [1, ["select", "WordCountModule", "$$nope", '["a"]'], /no PState named \$\$nope; it has: \$\$wordCounts/],
    [1, ["destroy", "Nope"], /no module named Nope/],
    [2, ["deply"], /Unknown command: \[rama deply\]; did you mean "deploy"\?/],
    [2, ["deploy", "--action", "launch"], /missing --jar\nusage: rama deploy/],
    [2, ["deploy", "--acton", "launch"], /--acton/],
    [2, ["select", "WordCountModule"], /missing <pstate>/],
    [2, ["select", "WordCountModule", "$$wordCounts", "[nonsense"], /the path: not JSON/],
    [2, ["append", "WordCountModule", "*sentences"], /either a record or --file/],
    [2, ["append", "WordCountModule", "*sentences", '"x"', "--ack", "soon"], /--ack takes ack, appendAck, none/],
    [2, ["confValue", "conductor.hots"], /did you mean "conductor.host"/],
    [2, ["runJava", "com.acme.Main"], /use `rama run/],
  ] as const) {
    const { code: got, err } = await rama(...args);
    expect([args, got]).toEqual([args, code]);
    expect(err).toMatch(said);
  }
});

test("a file is loaded with progress; lines that cannot be stored stand in a file with their reason", async () => {
  const file = join(unpacked.home, "data.jsonl");
  const lines = Array.from({ length: 30_000 }, (_, i) => JSON.stringify(`word${i % 10}`));
  lines[10] = "{nonsense";
  lines[20] = "";
  lines[30] = '{"not":"a sentence"}';
  writeFileSync(file, lines.join("\n"));
  const before = await records();
  const { code, out, err } = await rama("append", "WordCountModule", "*sentences", "--file", file, "--json");
  expect(code).toBe(1);
  expect(JSON.parse(out)).toEqual({ appended: 29_998, rejected: 2, lines: 30_000 });
  expect(err).toMatch(/loading .*data\.jsonl: 50%/);
  expect(err).toMatch(/29,998 records in [\d.]+ s \([\d,]+ records\/s\)/);
  expect(err).toContain(`2 lines are in ${file}.rejected; 1 of them are stored, but their processing failed`);
  const rejected = readFileSync(`${file}.rejected`, "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(rejected).toEqual([
    { line: 11, reason: expect.stringContaining("not JSON"), text: "{nonsense" },
    { line: 31, reason: expect.stringContaining("PROCESSING_FAILED"), stored: true, text: '{"not":"a sentence"}' },
  ]);
  expect((await records()) - before).toBe(29_998);
  expect((await rama("select", "WordCountModule", "$$wordCounts", '["word5"]')).out).toBe("3000\n");
}, 30_000);

test("a load that is interrupted says where to go on, and going on there stores every line once", async () => {
  const file = join(unpacked.home, "long.jsonl");
  const count = 300_000;
  writeFileSync(file, Array.from({ length: count }, (_, i) => JSON.stringify(`long ${i}`)).join("\n"));
  const before = await records();
  const env = { ...process.env, RAMA_HOME: unpacked.home };
  const command = [join(unpacked.home, "rama"), "append", "WordCountModule", "*sentences", "--ack", "appendAck"];
  const first = Bun.spawn([...command, "--file", file], { stdout: "ignore", stderr: "pipe", env });
  let said = "";
  for await (const chunk of first.stderr) {
    const wasEarly = !said.includes("10%");
    said += new TextDecoder().decode(chunk);
    if (wasEarly && said.includes("10%")) first.kill("SIGINT");
  }
  expect(await first.exited).toBe(1);
  const [, line] = /go on with: --from-line (\d+)/.exec(said)!;
  expect(Number(line)).toBeGreaterThan(1);
  expect(Number(line)).toBeLessThan(count);
  expect((await records()) - before).toBe(Number(line) - 1);
  const second = await rama("append", "WordCountModule", "*sentences", "--file", file, "--from-line", line!);
  expect(second.code).toBe(0);
  expect((await records()) - before).toBe(count);
}, 60_000);

test("stdin is loaded like a file", async () => {
  const before = await records();
  const command = [join(unpacked.home, "rama"), "append", "WordCountModule", "*sentences", "--file", "-"];
  const env = { ...process.env, RAMA_HOME: unpacked.home };
  const input = new Blob([Array.from({ length: 2500 }, (_, i) => `"stdin ${i}"\n`).join("")]);
  const load = Bun.spawn(command, { stdin: input, stdout: "ignore", stderr: "pipe", env, cwd: unpacked.home });
  expect(await new Response(load.stderr).text()).toMatch(/2,500 records in/);
  expect(await load.exited).toBe(0);
  expect((await records()) - before).toBe(2500);
  expect(existsSync(join(unpacked.home, "stdin.rejected"))).toBe(false);
}, 30_000);

test("a load from a cluster that goes away ends with the line to go on from", async () => {
  const { cluster, home } = unpacked;
  const env = { ...process.env, RAMA_HOME: home };
  const command = [join(home, "rama"), "append", "WordCountModule", "*sentences", "--file", "-"];
  const load = Bun.spawn(command, { stdin: "pipe", stdout: "ignore", stderr: "pipe", env, cwd: home });
  const before = await records();
  load.stdin.write(Array.from({ length: 2000 }, (_, i) => `"gone ${i}"\n`).join(""));
  await load.stdin.flush();
  await until("the first lines", async () => (await records()) - before === 2000);
  await cluster.kill("supervisor");
  for (const pid of cluster.workerPids()) process.kill(pid, "SIGKILL");
  load.stdin.write(Array.from({ length: 1500 }, (_, i) => `"lost ${i}"\n`).join(""));
  await load.stdin.end();
  const said = await new Response(load.stderr).text();
  expect(await load.exited).toBeGreaterThan(0);
  expect(said).toContain("go on with: --from-line 2001");
}, 90_000);
