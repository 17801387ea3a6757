// `npm run sim`: swarms of simulated clusters from seeds; with `--mutations`, swarms against bugs that are planted into our own code. See docs/reliability.md.
import "../src/world.ts";
import { simulate } from "../src/simulation/swarm/command.ts";
import { type Mutation, mutations } from "./sim-mutations.ts";

const seedsMax = 1_000;
const chaosSeconds = 12;
const atOnce = 2;

interface Hunt {
  readonly mutation: Mutation;
  /** undefined: not found. */
  readonly seeds: number | undefined;
  readonly how: string;
}

/** One planted bug in a process of its own, seed after seed until it shows. */
async function hunt(mutation: Mutation, seeds: number): Promise<Hunt> {
  const options = [
    "--from",
    "1",
    "--seeds",
    `${seeds}`,
    "--chaos",
    `${chaosSeconds}`,
    "--until-failure",
    "--no-shrink",
  ];
  if (mutation.kinds !== undefined) options.push("--kinds", mutation.kinds);
  const child = Bun.spawn(
    [process.execPath, "--preload", `${import.meta.dir}/sim-preload.ts`, `${import.meta.dir}/sim.ts`, ...options],
    { env: { ...process.env, RAMA_SIM_MUTATION: mutation.name }, stdout: "pipe", stderr: "pipe" },
  );
  const [out, errors] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  const code = await child.exited;
  const found = /^seed (\d+) FAILED after \d+ ms: (.*)$/m.exec(out);
  if (found === null && code !== 0) return { mutation, seeds: undefined, how: (errors || out).slice(0, 300) };
  return { mutation, seeds: found === null ? undefined : Number(found[1]), how: (found?.[2] ?? "").slice(0, 110) };
}

async function huntAll(args: readonly string[]): Promise<number> {
  const at = (name: string) => (args.includes(name) ? args[args.indexOf(name) + 1] : undefined);
  const wanted = mutations.filter(({ name }) => name.includes(at("--only") ?? ""));
  const hunts: Hunt[] = [];
  const queue = [...wanted];
  const work = async () => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      const done = await hunt(next, Number(at("--seeds") ?? seedsMax));
      hunts.push(done);
      console.log(`${done.seeds ?? "NOT FOUND"}\t${done.mutation.name}\t${done.how}`);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, work));
  console.log("\n| planted bug | file | seeds until found | as |\n|---|---|---|---|");
  for (const mutation of wanted) {
    const { seeds, how } = hunts.find((done) => done.mutation === mutation)!;
    console.log(`| ${mutation.name} | ${mutation.file} | ${seeds ?? "not found"} | ${how.replaceAll("|", "\\|")} |`);
  }
  const missing = hunts.filter(({ seeds }) => seeds === undefined);
  console.log(`\n${hunts.length - missing.length} of ${hunts.length} found`);
  return missing.length === 0 ? 0 : 1;
}

const args = process.argv.slice(2);
process.exit(args.includes("--mutations") ? await huntAll(args) : await simulate(args, (line) => console.log(line)));
