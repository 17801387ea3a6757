import { expect, test } from "bun:test";
import type { RamaError } from "../../../src/base/errors.ts";
import { parseCommand } from "../../../src/cli/command.ts";
import { commandNamed } from "../../../src/cli/commands.ts";
import { deployOptions } from "../../../src/cli/deploy-options.ts";

function settings(...flags: string[]) {
  const argv = ["--action", "launch", "--jar", "x.ts", "--tasks", "1", ...flags];
  return deployOptions(parseCommand(commandNamed("deploy")!, argv));
}

function refusal(...flags: string[]): RamaError {
  try {
    settings(...flags);
  } catch (error) {
    return error as RamaError;
  }
  throw new Error("nothing was refused");
}

test("module options are pairs, several of them by semicolon", () => {
  expect(settings("--moduleOptions", "worker.event.target.max.millis=7;replication.min.isr=2")).toEqual([
    { scope: "module", object: "", name: "worker.event.target.max.millis", value: 7 },
    { scope: "module", object: "", name: "replication.min.isr", value: 2 },
  ]);
});

test("options of topologies, depots and PStates name their object first", () => {
  expect(
    settings(
      ...["--topologyOptions", "counts,topology.stream.timeout.seconds=5"],
      ...["--depotOptions", "*d,depot.ack.failure.on.any.streaming.failure=false"],
      ...["--pstateOptions", "$$p,pstate.proxy.limit=10"],
    ),
  ).toEqual([
    { scope: "topology", object: "counts", name: "topology.stream.timeout.seconds", value: 5 },
    { scope: "depot", object: "*d", name: "depot.ack.failure.on.any.streaming.failure", value: false },
    { scope: "pstate", object: "$$p", name: "pstate.proxy.limit", value: 10 },
  ]);
});

test("no flags, no settings", () => {
  expect(settings()).toEqual([]);
});

test("a part without value or object is refused with the form it should have", () => {
  expect(refusal("--moduleOptions", "replication.min.isr").message).toBe(
    '--moduleOptions takes name=value;…, got "replication.min.isr"',
  );
  expect(refusal("--topologyOptions", "topology.stream.timeout.seconds=5").message).toBe(
    '--topologyOptions takes topology,name=value;…, got "topology.stream.timeout.seconds=5"',
  );
});

test("an unknown option is refused with the one that is meant", () => {
  const error = refusal("--moduleOptions", "replication.min.irs=2");
  expect(error.code).toBe("BAD_CONFIG");
  expect(error.message).toContain('did you mean "replication.min.isr"?');
});

test("a value of the wrong type is refused", () => {
  expect(refusal("--moduleOptions", "replication.min.isr=two").message).toContain("must be a whole number ≥ 1");
});

test("a config is not taken for a dynamic option", () => {
  expect(refusal("--moduleOptions", "worker.stuck.event.seconds=9").message).toContain("--configOverrides");
});
