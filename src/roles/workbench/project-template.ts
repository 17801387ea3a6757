// What `rama init` writes: a module, a test of it, and the files that make an editor know `rama`. Works without the network: `rama` is found in the release's lib/.
import { homeDir } from "./home.ts";

export function projectTemplate(name: string): Readonly<Record<string, string>> {
  return {
    "package.json": `${JSON.stringify(
      {
        name: name.toLowerCase().replace(/[^a-z0-9-]+/g, "-"),
        private: true,
        type: "module",
        scripts: {
          dev: "rama dev src/app.ts",
          test: "rama run tests/app.test.ts",
          bundle: "rama bundle src/app.ts -o target/app.js",
        },
        dependencies: { rama: `file:${homeDir()}/lib/rama` },
      },
      null,
      2,
    )}\n`,
    "tsconfig.json": `${JSON.stringify(
      {
        compilerOptions: {
          target: "ES2022",
          lib: ["ES2023", "ESNext.Disposable", "DOM"],
          module: "Preserve",
          moduleResolution: "bundler",
          strict: true,
          noEmit: true,
          allowImportingTsExtensions: true,
          skipLibCheck: true,
          paths: {
            rama: [`${homeDir()}/lib/rama/types/index.d.ts`],
            "rama/*": [`${homeDir()}/lib/rama/types/*.d.ts`],
          },
        },
        include: ["src", "tests"],
      },
      null,
      2,
    )}\n`,
    ".gitignore": "node_modules/\ntarget/\n.rama-dev/\n",
    "src/app.ts": `import { Agg, CompoundAgg, Depot, Ops, PState, RamaModule, type Setup, type Topologies } from "rama";

/** Counts words of sentences: append to *sentences, read $$wordCounts. */
export class AppModule extends RamaModule {
  define(setup: Setup, topologies: Topologies) {
    setup.declareDepot("*sentences", Depot.random());
    const counts = topologies.stream("counts");
    counts.pstate("$$wordCounts", PState.mapSchema(String, Number));
    counts.source("*sentences").out("*sentence")
      .each((sentence: string) => sentence.toLowerCase().split(/\\W+/).filter(Boolean), "*sentence").out("*words")
      .each(Ops.EXPLODE, "*words").out("*word")
      .hashPartition("*word")
      .compoundAgg("$$wordCounts", CompoundAgg.map("*word", Agg.count()));
  }
}
`,
    "tests/app.test.ts": `// Runs the module in this process: rama run tests/app.test.ts
import { Path } from "rama";
import { InProcessCluster } from "rama/test";
import { AppModule } from "../src/app.ts";

await using cluster = await InProcessCluster.create();
const app = await cluster.launchModule(AppModule, { tasks: 4, threads: 2 });
await app.depot("*sentences").append("to be or not to be");
const count = await app.pstate("$$wordCounts").selectOne<number>(Path.key("be"));
if (count !== 2) throw new Error(\`"be" was counted \${count} times, not twice\`);
console.log("ok: words are counted");
`,
    "README.md": `# ${name}

\`\`\`
rama dev src/app.ts                                        # a cluster and the module in one terminal
rama append AppModule '*sentences' '"to be or not to be"'  # in another one, with the same rama.yaml
rama select AppModule '$$wordCounts' '["be"]'
rama run tests/app.test.ts                                 # the test, without a cluster
\`\`\`
`,
  };
}
