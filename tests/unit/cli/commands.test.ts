import { expect, test } from "bun:test";
import { RamaError } from "../../../src/base/errors.ts";
import { type Command, type CommandContext, numberOption, parseCommand, usageOf } from "../../../src/cli/command.ts";
import { commandNamed, commands, unknownCommand } from "../../../src/cli/commands.ts";
import { helpOf, markdown, overview } from "../../../src/cli/help.ts";

function refusal(work: () => unknown): RamaError {
  try {
    work();
  } catch (error) {
    if (error instanceof RamaError) return error;
    throw error;
  }
  throw new Error("nothing was refused");
}

const command = (name: string): Command => commandNamed(name)!;

test("every command has a summary, an example that begins with its call, and a usage line", () => {
  for (const each of commands) {
    expect(each.summary).toEndWith(".");
    expect(each.example).toStartWith(`rama ${each.name === "runJava" || each.name === "runClj" ? "run" : each.name}`);
    expect(helpOf(each)).toContain(`usage: ${usageOf(each)}`);
    expect(helpOf(each)).toContain(each.example.split("\n")[0]!);
  }
});

test("every option and positional is explained in its command's help", () => {
  for (const each of commands.filter((c) => !c.hidden)) {
    for (const { help } of [...each.options, ...each.positionals]) expect(help.length).toBeGreaterThan(3);
  }
});

test("the example of every command is accepted by its own parser", () => {
  for (const each of commands.filter((c) => !c.hidden)) {
    for (const line of each.example.split("\n")) {
      const words = line.match(/'[^']*'|"[^"]*"|\S+/g)!.map((word) => word.replace(/^['"]|['"]$/g, ""));
      expect(() => parseCommand(each, words.slice(2))).not.toThrow();
    }
  }
});

test("the overview and docs/cli.md name every command that is not hidden, and no hidden one", () => {
  const shown = overview(commands, "1.2.3");
  const page = markdown(commands);
  for (const each of commands) {
    expect(shown.includes(`\n  ${each.name} `)).toBe(!each.hidden);
    expect(page.includes(`### \`${each.name}\``)).toBe(!each.hidden);
  }
});

test("a misspelt command is answered with the one that is meant", () => {
  expect(unknownCommand("modulestatus")).toBe(
    'Unknown command: [rama modulestatus]; did you mean "moduleStatus"? `rama help` lists all commands.',
  );
  expect(unknownCommand("deplyo")).toContain('"deploy"');
  expect(unknownCommand("superviser")).toContain('"supervisor"');
  expect(unknownCommand("xyzzy")).toBe("Unknown command: [rama xyzzy]. `rama help` lists all commands.");
});

test("hidden commands are never suggested", () => {
  expect(unknownCommand("workr")).not.toContain("worker");
});

test("a missing required option is named together with the usage", () => {
  const error = refusal(() => parseCommand(command("deploy"), ["--action", "launch", "--tasks", "2"]));
  expect(error.code).toBe("BAD_ARGUMENTS");
  expect(error.message).toStartWith("missing --jar\nusage: rama deploy ");
});

test("a missing positional is named", () => {
  expect(refusal(() => parseCommand(command("append"), ["M"])).message).toStartWith("missing <depot>\nusage:");
});

test("one argument too many is named", () => {
  const error = refusal(() => parseCommand(command("destroy"), ["M", "N"]));
  expect(error.message).toStartWith('unexpected argument "N"');
  const second = refusal(() => parseCommand(command("query"), ["M", "q", '"a"', "2"]));
  expect(second.message).toStartWith('unexpected argument "2" after <args> (A JSON list of its arguments');
});

test("an unknown flag is refused with the usage of that command", () => {
  const error = refusal(() => parseCommand(command("moduleStatus"), ["--jsn"]));
  expect(error.message).toContain("--jsn");
  expect(error.message).toContain("usage: rama moduleStatus");
});

test("--json is taken by commands that print data and by no others", () => {
  expect(parseCommand(command("moduleStatus"), ["--json"]).json).toBe(true);
  expect(refusal(() => parseCommand(command("destroy"), ["M", "--json"])).code).toBe("BAD_ARGUMENTS");
});

test("what follows the file of `run` belongs to the program, flags too", () => {
  const parsed = parseCommand(command("run"), ["program.ts", "--verbose", "--json", "x"]);
  expect(parsed.positionals).toEqual(["program.ts", "--verbose", "--json", "x"]);
});

test("a number option says what it wants", () => {
  const parsed = parseCommand(command("deploy"), ["--action", "launch", "--jar", "x.ts", "--tasks", "four"]);
  expect(refusal(() => numberOption(parsed, "tasks", 1)).message).toBe('--tasks must be a whole number, got "four"');
  expect(numberOption(parsed, "threads", 7)).toBe(7);
});

test("an update takes no number of tasks, threads or workers", async () => {
  const parsed = parseCommand(command("deploy"), ["--action", "update", "--jar", "x.ts", "--tasks", "8"]);
  const error = await command("deploy")
    .run({ parsed } as CommandContext)
    .then(
      () => undefined,
      (refused: unknown) => refused as RamaError,
    );
  expect([error?.code, error?.message]).toEqual(["BAD_ARGUMENTS", "--action update does not take --tasks"]);
});
