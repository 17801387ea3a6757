// Loaded before `scripts/sim.ts` in a process that is to run with a planted bug: RAMA_SIM_MUTATION names it.
import { mutated, mutations } from "./sim-mutations.ts";

const wanted = process.env["RAMA_SIM_MUTATION"];
const mutation = mutations.find(({ name }) => name === wanted);
if (mutation === undefined) throw new Error(`no mutation is called ${wanted}`);
Bun.plugin({
  name: "planted bug",
  setup(build) {
    build.onLoad({ filter: new RegExp(`${mutation.file.replaceAll(/[.]/g, "\\.")}$`) }, async ({ path }) => ({
      contents: mutated(await Bun.file(path).text(), mutation),
      loader: "ts",
    }));
  },
});
