// `npm run sim`: swarms of simulated clusters from seeds. See docs/reliability.md.
import "../src/world.ts";
import { simulate } from "../src/simulation/swarm/command.ts";

process.exit(await simulate(process.argv.slice(2), (line) => console.log(line)));
