import { expect, test } from "bun:test";
import { appendFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Path } from "rama";
import { InProcessCluster } from "rama/test";
import { LogFilesModule } from "../../examples/log-files.ts";

test("lines of growing files are counted, each once", async () => {
  const dir = mkdtempSync(join(tmpdir(), "rama-log-files-"));
  try {
    const view = (file: number, url: string, user: string) =>
      appendFileSync(join(dir, `${file}.log`), `${JSON.stringify({ url, user })}\n`);
    view(0, "/", "alice");
    view(1, "/", "bob");
    await using cluster = await InProcessCluster.create();
    const module = await cluster.launchModule(new LogFilesModule(dir), { tasks: 4, threads: 2 });
    view(0, "/news", "alice");
    view(1, "/", "alice");
    await module.waitForProcessed("views", 4);
    expect(await module.pstate("$$views").selectOne(Path.key("/"))).toBe(3);
    expect(await module.pstate("$$byUser").select(Path.key("alice").mapVals())).toEqual([2, 1]);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});
