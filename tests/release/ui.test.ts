// The Cluster UI in a real browser: what it shows is what the cluster says, it follows changes by itself, and a page that cannot be drawn says why.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { type Browser, chromium, type Locator, type Page } from "playwright-core";
import { RamaClusterManager } from "../../src/client.ts";
import { needs, systemChromium } from "../needs.ts";
import { type Unpacked, unpackedRelease } from "./built-release.ts";

const isHere = needs("chromium");
const launchArgs = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
];

let unpacked: Unpacked;
let browser: Browser;
let page: Page;
const complaints: string[] = [];

beforeAll(async () => {
  if (!isHere) return;
  unpacked = unpackedRelease({ "cluster.metadata": "a test" });
  const { cluster } = unpacked;
  await cluster.startAll();
  const size = ["--tasks", "8", "--threads", "4"];
  const deployed = await cluster.rama("deploy", "--action", "launch", "--jar", "examples/word-count.ts", ...size);
  if (deployed.code !== 0) throw new Error(deployed.err);
  browser = await chromium.launch({
    executablePath: systemChromium,
    args: [...launchArgs, "--disable-component-update", "--disable-sync"],
  });
  page = await browser.newPage();
  page.on("pageerror", (error) => complaints.push(error.message));
}, 120_000);

afterAll(async () => {
  await browser?.close();
  await unpacked?.[Symbol.asyncDispose]();
}, 30_000);

const at = (hash: string) => page.goto(`http://localhost:${unpacked.cluster.ports.ui}/${hash}`);
// biome-ignore lint/performance/useDomNodeTextContent: cells apart, as a person sees them
const shown = (what: Locator): Promise<string> => what.innerText();
const row = (text: string) => page.locator("tr", { hasText: text });

test.skipIf(!isHere)(
  "the first page lists modules with their state and leads to each of them",
  async () => {
    await at("");
    await row("WordCountModule").waitFor();
    expect(await shown(row("WordCountModule"))).toMatch(/^WordCountModule\s+running\s+8\s+4\s+1\s+1\s/);
    expect(await shown(page.locator("#metadata"))).toBe("a test");
    await page.getByRole("link", { name: "WordCountModule" }).click();
    await page.getByRole("heading", { name: "WordCountModule running" }).waitFor();
    expect(await page.title()).toBe("WordCountModule - Rama");
  },
  20_000,
);

test.skipIf(!isHere)(
  "a module's page counts its depots, PStates and topologies, and follows them by itself",
  async () => {
    const { cluster } = unpacked;
    await using manager = await RamaClusterManager.open({
      "conductor.host": "localhost",
      "conductor.port": cluster.ports.conductor,
    });
    await at("#/modules/WordCountModule");
    await row("*sentences").waitFor();
    expect(await shown(row("*sentences"))).toMatch(/^\*sentences\s+random\s+0\s/);
    await manager
      .clusterDepot("WordCountModule", "*sentences")
      .appendMany(Array.from({ length: 1234 }, (_, i) => `a b w${i}`));
    await row("*sentences").filter({ hasText: "1,234" }).waitFor();
    expect(await shown(row("$$wordCounts"))).toMatch(/^\$\$wordCounts\s+partitioned\s+1,236\s/);
    expect(await shown(row("stream"))).toMatch(/^wordCount\s+stream\s+running\s+1,234\s+0\s+0/);

    expect((await cluster.rama("pauseTopology", "WordCountModule", "wordCount")).code).toBe(0);
    await page.getByText("wordCount is paused: by pauseTopology").waitFor();
    expect((await cluster.rama("resumeTopology", "WordCountModule", "wordCount")).code).toBe(0);
  },
  20_000,
);

test.skipIf(!isHere)(
  "supervisors and operations have pages of their own",
  async () => {
    await at("#/supervisors");
    const rest = String(unpacked.cluster.ports.rest);
    await row(rest).waitFor();
    expect(await shown(row(rest))).toMatch(/^[0-9a-f-]{36}\s+localhost\s/);
    await at("#/operations");
    await row("assigned").waitFor();
    // The launch's two steps, and the pause and its end from the test before.
    expect(await row("WordCountModule").count()).toBe(4);
  },
  20_000,
);

test.skipIf(!isHere)(
  "a module that is not there is told with those that are",
  async () => {
    await at("#/modules/Nope");
    await page.getByText("there is no module named Nope; deployed: WordCountModule").waitFor();
    expect(await page.locator("table").count()).toBe(0);
    expect(complaints).toEqual([]);
  },
  20_000,
);

test.skipIf(!isHere)(
  "a replicated module's page says who leads each task group, and which replica is away",
  async () => {
    await using second = unpackedRelease();
    const { cluster } = unpacked;
    second.cluster.ports.zookeeper = cluster.ports.zookeeper;
    second.cluster.ports.conductor = cluster.ports.conductor;
    await second.cluster.start("supervisor");
    const size = ["--tasks", "2", "--threads", "2", "--replicationFactor", "2"];
    const deployed = await cluster.rama("deploy", "--action", "launch", "--jar", "examples/top-n.ts", ...size);
    expect(deployed).toMatchObject({ code: 0, err: "" });
    const name = /^(\w+) is RUNNING/m.exec(deployed.out)![1]!;
    await at(`#/modules/${name}`);
    const groups = page.locator("tr", { hasText: /worker \d \(/ });
    await groups.filter({ hasText: "in sync" }).nth(1).waitFor();
    expect(await shown(groups.first())).toMatch(/^0\s+in sync\s+worker \d \([0-9a-f]{8}\)\s+1\s+2\s+2/);
    await second.cluster.kill("supervisor");
    for (const pid of second.cluster.workerPids()) process.kill(pid, "SIGKILL");
    await row("no answer").waitFor();
    await second.cluster.start("supervisor");
    await groups.filter({ hasText: "in sync" }).nth(1).waitFor();
    expect((await cluster.rama("destroy", name)).code).toBe(0);
  },
  60_000,
);
