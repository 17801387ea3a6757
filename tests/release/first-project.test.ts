// A first project out of an unpacked release, without the network: init, run its test, bundle, deploy, dev with redeploy on save, and nothing left after Ctrl-C.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root, type Unpacked, unpackedRelease, until } from "./built-release.ts";

let unpacked: Unpacked;
let app: string;

beforeAll(async () => {
  unpacked = unpackedRelease();
  app = join(unpacked.home, "my-app");
}, 60_000);

afterAll(() => unpacked?.[Symbol.asyncDispose](), 30_000);

function run(cwd: string, ...args: string[]): { code: number; out: string; err: string } {
  const env = { ...process.env, PATH: `${unpacked.home}:${process.env["PATH"]}` };
  const done = Bun.spawnSync([join(unpacked.home, "rama"), ...args], { cwd, env, timeout: 60_000 });
  return { code: done.exitCode, out: done.stdout.toString(), err: done.stderr.toString() };
}

/** Pids of all processes of this release. */
function processes(): string {
  return Bun.spawnSync(["pgrep", "-f", unpacked.home]).stdout.toString();
}

test("init writes a project whose test runs, whose files an editor checks, and whose bundle can be deployed", async () => {
  const { cluster, home } = unpacked;
  expect(run(home, "init", "my-app")).toMatchObject({ code: 0 });
  expect(run(app, "run", "tests/app.test.ts")).toMatchObject({ code: 0, out: "ok: words are counted\n", err: "" });
  const checked = Bun.spawnSync(["node", join(root, "node_modules/typescript/bin/tsc"), "-p", "."], { cwd: app });
  expect(checked.stdout.toString()).toBe("");
  expect(run(app, "bundle", "src/app.ts", "-o", "target/app.js")).toMatchObject({ code: 0, err: "" });
  await cluster.startAll();
  expect(run(app, "deploy", "--action", "launch", "--jar", "target/app.js", "--tasks", "4")).toMatchObject({ code: 0 });
  expect(run(app, "append", "AppModule", "*sentences", '"to be or not to be"').out).toBe("appended\n");
  expect(run(app, "select", "AppModule", "$$wordCounts", '["be"]').out).toBe("2\n");
  expect(run(home, "init", "my-app")).toMatchObject({ code: 2, err: expect.stringContaining("is not empty") });
  await cluster.end();
}, 60_000);

test("a failing test of a project fails its command", () => {
  const path = join(app, "tests/failing.test.ts");
  writeFileSync(path, 'throw new Error("expected two");');
  const { code, err } = run(app, "run", "tests/failing.test.ts");
  expect(code).toBe(1);
  expect(err).toContain("expected two");
  expect(err).toContain("failing.test.ts:1");
});

test("run ends with the program's exit code, also when a cluster was left open", () => {
  const open = `
    import { InProcessCluster } from "rama/test";
    const ipc = await InProcessCluster.create();
    console.log((await ipc.getDeployedModuleNames()).size);`;
  writeFileSync(join(app, "open.ts"), open);
  expect(run(app, "run", "open.ts")).toMatchObject({ code: 0, out: "0\n", err: "" });
  writeFileSync(join(app, "seven.ts"), `${open}\nprocess.exitCode = 7;`);
  expect(run(app, "run", "seven.ts")).toMatchObject({ code: 7, out: "0\n" });
});

test("dev runs cluster and module in one terminal, deploys again on save, tells mistakes, and Ctrl-C ends everything", async () => {
  const { home } = unpacked;
  const settings = ["zookeeper.port", "conductor.port", "cluster.ui.port", "supervisor.port.range"];
  const yaml = settings.map((name) => `${name}: 0`).join("\n");
  writeFileSync(join(home, "rama.yaml"), `zookeeper.servers: [localhost]\nconductor.host: localhost\n${yaml}\n`);
  const dev = Bun.spawn([join(home, "rama"), "dev", "src/app.ts"], { cwd: app, stdout: "pipe", stderr: "pipe" });
  let said = "";
  const collect = async (stream: ReadableStream<Uint8Array>) => {
    for await (const chunk of stream) said += new TextDecoder().decode(chunk);
  };
  const ended = Promise.all([collect(dev.stdout), collect(dev.stderr)]);
  try {
    await until("the module", () => said.includes("AppModule runs"));
    const dataDir = join(app, "src/.rama-dev");
    const ports = JSON.parse(readFileSync(join(dataDir, "conductor/ports.json"), "utf8")) as { rpc: number };
    writeFileSync(
      join(home, "rama.yaml"),
      `zookeeper.servers: [localhost]\nconductor.host: localhost\nconductor.port: ${ports.rpc}\n`,
    );
    expect(run(app, "append", "AppModule", "*sentences", '"To be"').err).toBe("");
    expect(run(app, "select", "AppModule", "$$wordCounts", '["be"]').out).toBe("1\n");

    const source = join(app, "src/app.ts");
    const text = readFileSync(source, "utf8");
    writeFileSync(source, text.replace('"*word")', '"*wrod")'));
    await until("the mistake", () => said.includes("app.ts:12: *word is not bound here"));
    const before = said.length;
    writeFileSync(source, text.replace("toLowerCase", "toUpperCase"));
    await until("the second deployment", () => said.slice(before).includes("AppModule runs"));
    expect(run(app, "append", "AppModule", "*sentences", '"To be"').err).toBe("");
    expect(run(app, "select", "AppModule", "$$wordCounts", '["BE"]').out).toBe("1\n");
    expect(processes().split("\n").length).toBeGreaterThan(2);
  } finally {
    const stopped = performance.now();
    dev.kill("SIGINT");
    const code = await dev.exited;
    await ended;
    expect([code, said]).toEqual([0, said]);
    expect(performance.now() - stopped).toBeLessThan(10_000);
  }
  expect(processes()).toBe("");
  expect(existsSync(join(app, "src/app.ts"))).toBe(true);
}, 90_000);
