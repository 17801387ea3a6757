// deadLetters: records that topologies have set aside.
import { RamaError } from "../../base/errors.ts";
import type { DeadLetterRow, DeadLettersAnswer, DeadLettersCall } from "../../protocol/control.ts";
import { DEAD_LETTERS } from "../../protocol/table.ts";
import { type Command, type CommandContext, type Parsed, textOption } from "../command.ts";
import { withConductor } from "../conductor-client.ts";

const actions = ["list", "retry", "drop"] as const;

export const deadLetters: Command = {
  name: "deadLetters",
  group: "Modules",
  summary: "List, retry or drop the records that a module's topologies have set aside.",
  description: [
    "A source with the option deadLetterAfter(n) sets a record aside that has failed n times, so that the others go on. `list` (the default) shows such records with",
    "their errors; `retry` processes them again, and they stay listed until that has succeeded; `drop` forgets them. retry and drop take --all, or a choice.",
  ].join("\n"),
  positionals: [
    { name: "module", help: "The module's name." },
    { name: "action", help: "list, retry or drop.", optional: true },
  ],
  options: [
    { name: "topology", value: "name", help: "Only those of this topology." },
    { name: "depot", value: "name", help: "Only those of this depot, with its star." },
    { name: "partition", value: "n", help: "Only those of this partition." },
    { name: "offset", value: "n", help: "Only the one with this offset." },
    { name: "all", help: "Retry or drop all." },
    { name: "useInternalHostnames", help: "Use the internal names of hosts." },
  ],
  data: true,
  example:
    "rama deadLetters BankModule\nrama deadLetters BankModule retry --depot '*transfers' --partition 2 --offset 17",
  async run(context) {
    const { parsed, print } = context;
    const [moduleName, word = "list"] = parsed.positionals;
    const call = callOf(word, parsed);
    const answer = await withConductor(context, (conductor) =>
      conductor.call<DeadLettersAnswer>(DEAD_LETTERS, { moduleName, ...call }),
    );
    if (call.action !== "list") {
      if (parsed.json) print.json({ count: answer.count });
      else print.out(`${answer.count} dead letters ${call.action === "retry" ? "are being retried" : "are dropped"}`);
      return 0;
    }
    if (parsed.json) print.json(answer.letters);
    else if (answer.letters.length === 0) print.out("no dead letters");
    else printLetters(context, answer.letters);
    return 0;
  },
};

function callOf(word: string, parsed: Parsed): DeadLettersCall {
  const action = actions.find((each) => each === word);
  if (action === undefined)
    throw new RamaError("BAD_ARGUMENTS", `deadLetters takes ${actions.join(", ")}, not "${word}"`, { action: word });
  const [topology, depot] = [textOption(parsed, "topology"), textOption(parsed, "depot")];
  const [partition, offset] = [countOption(parsed, "partition"), countOption(parsed, "offset")];
  const choice = {
    ...(topology === undefined ? {} : { topology }),
    ...(depot === undefined ? {} : { depot }),
    ...(partition === undefined ? {} : { partition }),
    ...(offset === undefined ? {} : { offset }),
  };
  const chosen = Object.keys(choice).length > 0;
  if (action !== "list" && chosen === (parsed.options["all"] === true))
    throw new RamaError("BAD_ARGUMENTS", `${action} takes either --all or a choice such as --offset`, { action });
  return { action, choice };
}

function countOption(parsed: Parsed, name: string): number | undefined {
  const text = textOption(parsed, name);
  if (text === undefined) return undefined;
  if (!/^\d+$/.test(text))
    throw new RamaError("BAD_ARGUMENTS", `--${name} takes a number, got "${text}"`, { [name]: text });
  return Number(text);
}

const shownLength = 60;

function printLetters({ print }: CommandContext, letters: readonly DeadLetterRow[]): void {
  const rows = letters.map(({ topology, depot, partition, offset, failures, retrying, setAsideMs, record }) => [
    topology,
    depot,
    partition,
    offset,
    failures,
    retrying ? "retrying" : new Date(setAsideMs).toISOString(),
    record.length <= shownLength ? record : `${record.slice(0, shownLength)}…`,
  ]);
  print.table(["topology", "depot", "partition", "offset", "failures", "set aside", "record"], rows);
  for (const { depot, partition, offset, error } of letters)
    print.out(`${depot} partition ${partition} offset ${offset}: ${error}`);
}
