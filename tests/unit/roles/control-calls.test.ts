// What calls from outside must look like before anyone acts on them. Guards a worker that ended upon dead letters without a choice.
import { expect, test } from "bun:test";
import { checkedDeadLetters, checkedSettings } from "../../../src/roles/control-calls.ts";

const bad = expect.objectContaining({ code: "BAD_FRAME" });

test("a call about dead letters needs an action that there is, and a choice of the right types", () => {
  expect(checkedDeadLetters({ action: "list", choice: {} })).toEqual({ action: "list", choice: {} });
  const choice = { topology: "t", depot: "*d", partition: 1, offset: 7 };
  expect(checkedDeadLetters({ action: "drop", choice, more: 1 })).toEqual({ action: "drop", choice });
  for (const body of [
    {},
    { action: "list" },
    { action: "list", choice: null },
    { action: "burn", choice: {} },
    { action: 1, choice: {} },
    { action: "retry", choice: { offset: "7" } },
    { action: "retry", choice: { topology: 7 } },
  ])
    expect(() => checkedDeadLetters(body)).toThrow(bad);
});

test("settings are a list of maps with scope, object and name", () => {
  const setting = { scope: "module", object: "", name: "x", value: 1 };
  expect(checkedSettings({ options: [setting] })).toEqual([setting as never]);
  for (const options of [undefined, null, "all", {}, [null], [{}], [{ ...setting, name: 7 }]])
    expect(() => checkedSettings({ options })).toThrow(bad);
});
