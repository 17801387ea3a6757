// Makes lib/rama of the release: an npm package that editors and Node know. Declarations of all four doors come from tsc; the client (the door `rama/client`, which
// `rama` is for Node) is compiled for Node ≥ 20.15 into one file. Module code itself runs on the release's executable, which supplies `rama` on its own.
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { release } from "../src/base/release.ts";
import { withoutNativeCbor } from "./without-native-cbor.ts";

export async function buildPackage(root: string, out: string): Promise<void> {
  rmSync(out, { recursive: true, force: true });
  mkdirSync(out, { recursive: true });
  await declarations(root, join(out, "types"));
  await doors(root, join(out, "js"));
  writeFileSync(join(out, "package.json"), `${JSON.stringify(manifest(root), null, 2)}\n`);
}

async function declarations(root: string, out: string): Promise<void> {
  const child = Bun.spawn(
    [
      join(root, "node_modules/.bin/tsc"),
      ...[
        "--declaration",
        "--emitDeclarationOnly",
        "--noEmit",
        "false",
        "--outDir",
        out,
        "--rootDir",
        "src",
        "--skipLibCheck",
      ],
      ...[
        "--target",
        "ESNext",
        "--module",
        "Preserve",
        "--moduleResolution",
        "bundler",
        "--lib",
        "ESNext,DOM",
        "--types",
        "bun-types",
      ],
      ...["--strict", "--allowImportingTsExtensions", "--verbatimModuleSyntax"],
      ...[
        "src/index.ts",
        "src/client.ts",
        "src/test.ts",
        "src/helpers.ts",
        "src/ui-static/assets.d.ts",
        "--ignoreConfig",
      ],
    ],
    { cwd: root, stdout: "pipe", stderr: "pipe" },
  );
  const text = await new Response(child.stdout).text();
  if ((await child.exited) !== 0) throw new Error(`declarations do not build:\n${text}`);
  for (const file of everyFile(out)) rewriteImports(file);
  for (const door of ["index", "client", "helpers", "test"]) {
    const file = join(out, `${door}.d.ts`);
    // `await using` of clusters and clients: not every target's own library knows it.
    writeFileSync(file, `/// <reference lib="esnext.disposable" />\n${readFileSync(file, "utf8")}`);
  }
}

/** `./x.ts` → `./x.js`, as declarations of a package want it. */
function rewriteImports(file: string): void {
  const text = readFileSync(file, "utf8");
  writeFileSync(file, text.replace(/(from\s+"|import\(")(\.[^"]+)\.ts"/g, '$1$2.js"'));
}

function everyFile(dir: string): string[] {
  return readdirSync(dir, { recursive: true })
    .map((name) => join(dir, String(name)))
    .filter((path) => statSync(path).isFile() && path.endsWith(".d.ts"));
}

const doorNames = ["index", "client", "helpers"] as const;

/** One file with everything and a small one a door, so that what two doors export is the same. (Bun's own splitting renames classes to `RamaError2`.) */
async function doors(root: string, out: string): Promise<void> {
  const entry = join(out, "all-doors.ts");
  mkdirSync(out, { recursive: true });
  writeFileSync(
    entry,
    doorNames.map((door) => `export * as ${door} from "${join(root, `src/${door}.ts`)}";\n`).join(""),
  );
  const result = await Bun.build({
    entrypoints: [entry],
    outdir: out,
    naming: "rama.js",
    target: "node",
    format: "esm",
    sourcemap: "linked",
    external: ["classic-level"],
    plugins: [withoutNativeCbor],
  });
  rmSync(entry);
  if (!result.success) throw new Error(`the package does not build:\n${result.logs.join("\n")}`);
  const all = (await import(join(out, "rama.js"))) as Record<string, object>;
  for (const door of doorNames) {
    const names = Object.keys(all[door]!).sort().join(", ");
    writeFileSync(
      join(out, `${door}.js`),
      `import { ${door} } from "./rama.js";\nexport const { ${names} } = ${door};\n`,
    );
  }
}

function manifest(root: string): unknown {
  const own = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { license: string; description: string };
  const door = (name: string, js = name) => ({ types: `./types/${name}.d.ts`, default: `./js/${js}.js` });
  return {
    name: "rama",
    version: release,
    description: own.description,
    license: own.license,
    type: "module",
    engines: { node: ">=20.15" },
    exports: {
      ".": door("index"),
      "./client": door("client"),
      "./helpers": door("helpers"),
      "./test": { types: "./types/test.d.ts" },
      "./package.json": "./package.json",
    },
  };
}
