// Generated pages follow their tables; what the other pages point at exists.
import { expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { generatedPages } from "../../scripts/docs.ts";
import { missingReferences } from "../../scripts/parity.ts";
import { root } from "./source-files.ts";

test("docs/cli.md, docs/errors.md, docs/options.md and docs/parity.md say what their tables say (npm run docs)", () => {
  const stale = Object.entries(generatedPages())
    .filter(([path, text]) => !existsSync(join(root, path)) || readFileSync(join(root, path), "utf8") !== text)
    .map(([path]) => path);
  expect(stale).toEqual([]);
});

test("every test that a claim of the language names is there", () => {
  expect(missingReferences()).toEqual([]);
});

const pages = ["README.md", ...readdirSync(join(root, "docs")).map((name) => `docs/${name}`)].filter((path) =>
  path.endsWith(".md"),
);

test("every link between the pages leads somewhere", () => {
  const broken = pages.flatMap((page) =>
    [...readFileSync(join(root, page), "utf8").matchAll(/\]\(([^)#]+)(?:#[^)]*)?\)/g)]
      .map((match) => match[1]!)
      .filter((target) => !/^https?:/.test(target) && !existsSync(join(root, dirname(page), target)))
      .map((target) => `${page}: ${target}`),
  );
  expect(broken).toEqual([]);
});

test("every npm script that the pages name exists, and every `rama` command too", async () => {
  const { scripts } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
    scripts: Record<string, string>;
  };
  const { commandNamed } = await import("../../src/cli/commands.ts");
  const wrong = pages.flatMap((page) => {
    const text = readFileSync(join(root, page), "utf8");
    const runs = [...text.matchAll(/npm run ([\w:]+)/g)].map((match) => match[1]!).filter((name) => !scripts[name]);
    const commands = [...text.matchAll(/^\.\/rama (\w+)/gm)].map((match) => match[1]!).filter((n) => !commandNamed(n));
    return [...runs, ...commands].map((name) => `${page}: ${name}`);
  });
  expect(wrong).toEqual([]);
});

test("every dependency has its line in docs/dependencies.md", () => {
  const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
    dependencies: Record<string, string>;
    devDependencies: Record<string, string>;
  };
  const text = readFileSync(join(root, "docs/dependencies.md"), "utf8");
  const missing = Object.keys({ ...manifest.dependencies, ...manifest.devDependencies }).filter(
    (name) => !text.includes(`\`${name}\``),
  );
  expect(missing).toEqual([]);
});
