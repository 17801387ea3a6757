// Processes and HTTP of the real platform: children outlive the call that started them, a taken port says so.
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import type { RamaError } from "../../../src/base/errors.ts";
import { systemPlatform } from "../../../src/roles/platform-system.ts";

const platform = systemPlatform({ sink: () => {} });
const dir = mkdtempSync(`${tmpdir()}/rama-platform-`);
afterAll(() => rmSync(dir, { recursive: true }));

async function until(condition: () => boolean): Promise<void> {
  const deadline = platform.env.monotonicMs() + 5_000;
  while (!condition()) {
    if (platform.env.monotonicMs() > deadline) throw new Error("the condition did not come true");
    await platform.env.sleep(5);
  }
}

test("a process writes to its file, is alive, and ends when it is asked to", async () => {
  const outFile = `${dir}/logs/out.log`;
  const { processes } = platform;
  const { pid } = processes.start({
    command: ["/bin/sh", "-c", 'echo "hello $WHO"; echo oops >&2; exec sleep 60'],
    cwd: dir,
    env: { WHO: "child" },
    outFile,
  });
  await until(() => readFileSync(outFile, "utf8").includes("oops"));
  expect(readFileSync(outFile, "utf8")).toBe("hello child\noops\n");
  const birth = processes.birth(pid);
  expect(birth).toBeDefined();
  expect(processes.birth(pid)).toBe(birth);
  expect(processes.birth(process.pid)).not.toBe(birth);
  processes.signal(pid, "SIGTERM");
  await until(() => processes.birth(pid) === undefined);
  processes.signal(pid, "SIGKILL");
});

test("a program that is not there is an error at once", () => {
  const start = () =>
    platform.processes.start({ command: [`${dir}/nothing`], cwd: dir, env: {}, outFile: `${dir}/nothing.log` });
  expect(start).toThrow("nothing");
});

test("HTTP serves, fetches, and says that a port is taken", async () => {
  const { http } = platform;
  const server = await http.serve({ host: "127.0.0.1", port: 0 }, async (request) =>
    Response.json({ path: new URL(request.url).pathname, body: await request.text() }),
  );
  expect(server.port).toBeGreaterThan(0);
  const answer = await http.fetch(`http://127.0.0.1:${server.port}/a/b`, { method: "POST", body: "hi" });
  expect(await answer.json()).toEqual({ path: "/a/b", body: "hi" });
  const second = await http
    .serve({ host: "127.0.0.1", port: server.port }, () => new Response())
    .catch((e: RamaError) => e);
  expect((second as RamaError).code).toBe("PORT_IN_USE");
  await server.close();
});
