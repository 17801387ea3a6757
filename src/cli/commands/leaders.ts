// disallowLeaders, allowLeaders: for a node that is about to be upgraded or switched off.
import { ALLOW_LEADERS, DISALLOW_LEADERS, type LeadersAnswer } from "../../protocol/conductor.ts";
import type { Command, CommandContext } from "../command.ts";
import { withConductor } from "../conductor-client.ts";

/** Hand-overs take tens of milliseconds each. */
const timeoutMs = 130_000;

interface Choice {
  readonly name: "disallowLeaders" | "allowLeaders";
  readonly method: number;
  readonly summary: string;
  readonly word: string;
}

const leaders = ({ name, method, summary, word }: Choice): Command => ({
  name,
  group: "Cluster",
  summary,
  positionals: [
    { name: "supervisorId", help: "Id of the node's supervisor, as the Cluster UI and taskGroupsStatus show it." },
  ],
  options: [{ name: "useInternalHostnames", help: "Use the internal names of hosts." }],
  data: true,
  example: `rama ${name} 0a150494-7951-523f-f30a-8539e3b44892`,
  async run(context) {
    const supervisorId = context.parsed.positionals[0]!;
    const answer = await withConductor(context, (conductor) =>
      conductor.call<LeadersAnswer>(method, { supervisorId }, timeoutMs),
    );
    if (context.parsed.json) context.print.json(answer);
    else tell(context, `leaders are ${word} on ${supervisorId}`, answer);
    return 0;
  },
});

function tell({ print }: CommandContext, what: string, { moved, stay }: LeadersAnswer): void {
  print.out(`${what}; ${moved === 1 ? "1 task group was" : `${moved} task groups were`} handed over`);
  for (const { module, groups } of stay)
    print.out(`${module}: task groups ${groups.join(", ")} stay there: no other replica of them is in sync`);
}

export const disallowLeaders = leaders({
  name: "disallowLeaders",
  method: DISALLOW_LEADERS,
  summary: "Move all leaders off a node, where another replica is in sync, and elect none there; one node at a time.",
  word: "disallowed",
});

export const allowLeaders = leaders({
  name: "allowLeaders",
  method: ALLOW_LEADERS,
  summary: "Let a node lead again, and move leaders back to it.",
  word: "allowed",
});
