// `npm test`: every test folder in turn with `bun test`, one closing line for all. Tests that need a part of Debian which is missing are skipped (tests/needs.ts) and named at the
// end with what to install; RAMA_REQUIRE_ALL=1 makes that a failure.
//   npm test [-- folder or file …]
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const root = resolve(import.meta.dir, "..");
const folders = [
  "tidy",
  "unit",
  "property",
  "conformance",
  "simulation",
  "cluster",
  "parity",
  "examples",
  "release",
  "cluster-real",
];
const given = process.argv.slice(2);
const runs =
  given.length > 0
    ? [given]
    : folders.map((folder) => [`tests/${folder}`]).filter(([path]) => existsSync(join(root, path!)));

const scratch = mkdtempSync(join(tmpdir(), "rama-test-"));
const skipsFile = join(scratch, "skips");
const totals = { passed: 0, failed: 0, skipped: 0 };
let broken = false;

for (const paths of runs) {
  const child = Bun.spawn(
    [
      process.execPath,
      "test",
      "--timeout",
      "120000",
      ...paths.map((path) => (path.startsWith(".") || path.startsWith("/") ? path : `./${path}`)),
    ],
    {
      cwd: root,
      stdout: "inherit",
      stderr: "pipe",
      env: { ...process.env, RAMA_SKIPS_FILE: skipsFile },
    },
  );
  let text = "";
  const decoder = new TextDecoder();
  for await (const chunk of child.stderr) {
    const part = decoder.decode(chunk, { stream: true });
    text += part;
    process.stderr.write(part);
  }
  const code = await child.exited;
  const count = (word: string) => Number(new RegExp(`^\\s*(\\d+) ${word}$`, "m").exec(text)?.[1] ?? 0);
  const counted = { passed: count("pass"), failed: count("fail"), skipped: count("skip") };
  totals.passed += counted.passed;
  totals.failed += counted.failed;
  totals.skipped += counted.skipped;
  if (code !== 0 && counted.failed === 0) {
    broken = true;
    totals.failed++;
    console.error(`${paths.join(" ")}: the test runner ended with ${code} and no failed test`);
  }
}

if (existsSync(skipsFile)) {
  const skips = [...new Set(readFileSync(skipsFile, "utf8").split("\n").filter(Boolean))].map((line) =>
    line.split("\t"),
  );
  const parts = skips.map(([part, packages]) => `${part} (apt-get install ${packages})`);
  if (parts.length > 0) console.log(`skipped for want of: ${[...new Set(parts)].join(", ")}`);
}
rmSync(scratch, { recursive: true, force: true });
console.log(`${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped`);
process.exit(totals.failed > 0 || broken ? 1 : 0);
