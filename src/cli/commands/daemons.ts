// devZookeeper, conductor, supervisor, and the worker role that supervisors start.
import type { Command } from "../command.ts";

const daemon = (name: "devZookeeper" | "conductor" | "supervisor", summary: string, description: string): Command => ({
  name,
  group: "Daemons",
  summary,
  description,
  positionals: [],
  options: [],
  example: `rama ${name}`,
  run: (context) => context.workbench.daemon(name, []),
});

const stopping =
  "Runs in the foreground until SIGTERM or Ctrl-C, then stops in order within 10 s; a second Ctrl-C ends it at once.";

export const devZookeeper = daemon(
  "devZookeeper",
  "Run a ZooKeeper server for development.",
  `Speaks ZooKeeper's protocol and keeps its data under local.dir. For one node; use a real ensemble in production. ${stopping}`,
);
export const conductor = daemon(
  "conductor",
  "Run the conductor: launches modules, serves the Cluster UI.",
  `One per cluster. Listens on conductor.port and cluster.ui.port. ${stopping}`,
);
export const supervisor = daemon(
  "supervisor",
  "Run a supervisor: keeps this node's workers running.",
  `One per node. Its workers go on when it stops, and the next supervisor of this local.dir adopts them. ${stopping}`,
);

export const worker: Command = {
  name: "worker",
  group: "Daemons",
  summary: "Run one worker of a module; started by the supervisor.",
  positionals: [{ name: "assignment", help: "The assignment file that the supervisor wrote." }],
  options: [],
  example: "rama worker local-rama-data/supervisor/workers/<id>/assignment.json",
  hidden: true,
  run: (context) => context.workbench.daemon("worker", context.parsed.positionals),
};
