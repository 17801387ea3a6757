// What a release is made of: the bare executable lays out what the tarball holds, and builds for other systems have the same files, an executable of that system and
// LevelDB's addon for it inside. The latter fetches runtimes of those systems: only with RAMA_TEST_TARGETS=1.
import { expect, test } from "bun:test";
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { release } from "../../src/base/release.ts";
import { root, unpackedRelease } from "./built-release.ts";

function filesBelow(dir: string): string[] {
  return (readdirSync(dir, { recursive: true }) as string[])
    .filter((name) => statSync(join(dir, name)).isFile())
    .sort();
}

test("the bare executable unpacks the same files as the tarball holds, and leaves what is there alone", async () => {
  await using unpacked = unpackedRelease();
  const bare = mkdtempSync(join(tmpdir(), "rama-bare-"));
  try {
    copyFileSync(join(unpacked.home, "rama"), join(bare, "rama"));
    const unpack = () => Bun.spawnSync([join(bare, "rama"), "unpack", "my-cluster"], { cwd: bare });
    expect(unpack().exitCode).toBe(0);
    const laidOut = join(bare, "my-cluster");
    expect(filesBelow(laidOut)).toEqual(filesBelow(unpacked.home));
    for (const name of filesBelow(laidOut)) {
      expect([name, Bun.hash(readFileSync(join(laidOut, name)))]).toEqual([
        name,
        Bun.hash(readFileSync(join(unpacked.home, name))),
      ]);
    }
    expect(readdirSync(laidOut)).toContain("logs");
    await Bun.write(join(laidOut, "rama.yaml"), "conductor.host: elsewhere\n");
    expect(unpack().stdout.toString()).toStartWith("0 files");
    expect(readFileSync(join(laidOut, "rama.yaml"), "utf8")).toBe("conductor.host: elsewhere\n");
  } finally {
    rmSync(bare, { recursive: true, force: true });
  }
}, 60_000);

/** First bytes: ELF with its machine, Mach-O with its CPU type. */
const targets = [
  {
    name: "linux-arm64",
    magic: [0x7f, 0x45, 0x4c, 0x46],
    at: 18,
    machine: [0xb7, 0],
    addon: "linux-arm64/classic-level.armv8.node",
  },
  {
    name: "darwin-x64",
    magic: [0xcf, 0xfa, 0xed, 0xfe],
    at: 4,
    machine: [7, 0, 0, 1],
    addon: "darwin-x64+arm64/classic-level.node",
  },
  {
    name: "darwin-arm64",
    magic: [0xcf, 0xfa, 0xed, 0xfe],
    at: 4,
    machine: [12, 0, 0, 1],
    addon: "darwin-x64+arm64/classic-level.node",
  },
];

const onDemand = process.env["RAMA_TEST_TARGETS"] === "1" ? test : undefined;
onDemand?.(
  "builds for other systems hold the same files, their own executable and their own addon",
  async () => {
    await using unpacked = unpackedRelease();
    const out = mkdtempSync(join(tmpdir(), "rama-targets-"));
    try {
      const command = [process.execPath, join(root, "scripts/build-release.ts"), "--out", out];
      const built = Bun.spawnSync([...command, ...targets.flatMap(({ name }) => ["--target", name])], { cwd: root });
      expect(built.stderr.toString()).toBe("");
      for (const { name, magic, at, machine, addon } of targets) {
        const dir = join(out, name);
        Bun.spawnSync(["mkdir", dir]);
        const archive = join(out, `rama-${release}-${name}.tar.gz`);
        expect(Bun.spawnSync(["tar", "xzf", archive, "-C", dir, "--strip-components", "1"]).exitCode).toBe(0);
        expect(filesBelow(dir)).toEqual(filesBelow(unpacked.home));
        const executable = readFileSync(join(dir, "rama"));
        expect([...executable.subarray(0, 4)]).toEqual(magic);
        expect([...executable.subarray(at, at + machine.length)]).toEqual(machine);
        expect(statSync(join(dir, "rama")).mode & 0o111).toBe(0o111);
        expect(
          executable.indexOf(readFileSync(join(root, "node_modules/classic-level/prebuilds", addon))),
        ).toBeGreaterThan(0);
      }
    } finally {
      rmSync(out, { recursive: true, force: true });
    }
  },
  300_000,
);
