// What an update may change, row by row.
import { expect, test } from "bun:test";
import type { RamaError } from "../../../src/base/errors.ts";
import { checkUpdate, type UsedObject } from "../../../src/module/compatibility.ts";
import { CONTRACT_VERSION, type ModuleContract, schemaText } from "../../../src/module/contract.ts";
import { PState, type SchemaArg, schemaNode } from "../../../src/module/pstate-schema.ts";

class Animal {}
class Dog extends Animal {}

function contract(change: Partial<ModuleContract> = {}): ModuleContract {
  return {
    version: CONTRACT_VERSION,
    depots: [{ name: "*d", global: false, tick: false }],
    pstates: [pstate(PState.mapSchema(String, Number))],
    topologies: [
      { name: "s", kind: "stream" },
      { name: "q", kind: "query" },
    ],
    mirrors: [],
    ...change,
  };
}

function pstate(schema: SchemaArg, more: Partial<ModuleContract["pstates"][number]> = {}) {
  return { name: "$$p", topology: "s", global: false, private: false, schema: schemaText(schemaNode(schema)), ...more };
}

function outcome(
  to: ModuleContract,
  more: { deleting?: string[]; used?: UsedObject[]; from?: ModuleContract; finished?: string[] } = {},
) {
  try {
    const { from = contract(), deleting = [], used = [], finished = [] } = more;
    return checkUpdate({ moduleName: "M", from, to, objectsToDelete: deleting, used, migrationsFinished: finished });
  } catch (error) {
    return (error as RamaError).code;
  }
}

const schemas = (old: SchemaArg, now: SchemaArg, finished = false) =>
  outcome(contract({ pstates: [pstate(now)] }), {
    from: contract({ pstates: [pstate(old)] }),
    finished: finished ? ["$$p"] : [],
  });
const fits = { added: [], removed: [] };

test("the same module fits itself", () => {
  expect(outcome(contract())).toEqual(fits);
});

test("objects and topologies may come, and are told", () => {
  const to = contract({
    depots: [...contract().depots, { name: "*e", global: true, tick: false }],
    topologies: [...contract().topologies, { name: "t", kind: "microbatch" }],
  });
  expect(outcome(to)).toEqual({ added: ["*e"], removed: [] });
});

test("objects may go when exactly they are named", () => {
  const to = contract({ pstates: [] });
  expect(outcome(to)).toBe("DELETION_NOT_NAMED");
  expect(outcome(to, { deleting: ["$$p"] })).toEqual({ added: [], removed: ["$$p"] });
  expect(outcome(to, { deleting: ["$$p", "*d"] })).toBe("DELETION_NOT_NAMED");
  expect(outcome(contract(), { deleting: ["$$p"] })).toBe("DELETION_NOT_NAMED");
});

test("a depot stays tick or not, global or not; a PState too, and with its topology", () => {
  expect(outcome(contract({ depots: [{ name: "*d", global: false, tick: true }] }))).toBe("INCOMPATIBLE_UPDATE");
  expect(outcome(contract({ depots: [{ name: "*d", global: true, tick: false }] }))).toBe("INCOMPATIBLE_UPDATE");
  const map = PState.mapSchema(String, Number);
  expect(outcome(contract({ pstates: [pstate(map, { global: true })] }))).toBe("INCOMPATIBLE_UPDATE");
  expect(outcome(contract({ pstates: [pstate(map, { topology: "t" })] }))).toBe("INCOMPATIBLE_UPDATE");
});

test("a topology does not change its kind", () => {
  const topologies = [
    { name: "s", kind: "microbatch" },
    { name: "q", kind: "query" },
  ];
  expect(outcome(contract({ topologies }))).toBe("INCOMPATIBLE_UPDATE");
});

test("what other modules mirror may not go, nor become private", () => {
  const uses = (kind: string, object: string) => [{ by: "Other", kind, object }];
  expect(outcome(contract({ pstates: [] }), { deleting: ["$$p"], used: uses("pstate", "$$p") })).toBe("DEPENDED_ON");
  expect(outcome(contract({ depots: [] }), { deleting: ["*d"], used: uses("depot", "*d") })).toBe("DEPENDED_ON");
  const topologies = [{ name: "s", kind: "stream" }];
  expect(outcome(contract({ topologies }), { used: uses("query", "q") })).toBe("DEPENDED_ON");
  const hidden = pstate(PState.mapSchema(String, Number), { private: true });
  expect(outcome(contract({ pstates: [hidden] }), { used: uses("pstate", "$$p") })).toBe("DEPENDED_ON");
  expect(outcome(contract(), { used: [...uses("pstate", "$$p"), ...uses("query", "q")] })).toEqual(fits);
});

const map = PState.mapSchema;

test.each<[string, SchemaArg, SchemaArg]>([
  ["a class becomes one above it", map(String, Dog), map(String, Animal)],
  ["a class becomes Object", map(String, Number), map(String, Object)],
  ["keys widen, too", map(String, Number), map(Object, Number)],
  ["a whole map of anything is a Map, and back", map(String, map(Object, Object)), map(String, Map)],
  ["", map(String, Map), map(String, map(Object, Object))],
  ["a whole typed list is an Array", map(String, PState.listSchema(Number)), map(String, Array)],
  ["fixed keys gain one", fixed({ a: Number }), fixed({ a: Number, b: String })],
  ["fixed keys gain one, in a value", map(String, fixed({ a: Number })), map(String, fixed({ a: Object, b: String }))],
  ["subindexed stays subindexed", sub(Number), sub(Object)],
  ["a value is migrated", map(String, Number), map(String, migrated(String, "m"))],
  ["a migration goes on", map(String, migrated(String, "m")), map(String, migrated(String, "m"))],
  ["another migration begins", map(String, migrated(String, "m")), map(String, migrated(Object, "n"))],
  ["values of a subindexed map are migrated", sub(Number), sub(migrated(String, "m"))],
  ["a leaf PState is migrated", Number, migrated(String, "m")],
  ["a whole map becomes subindexed", map(String, map(String, Number)), map(String, toSub(sub1()))],
  ["a Map becomes subindexed", map(String, Map), map(String, toSub(sub1()))],
  ["a list becomes subindexed", map(String, PState.listSchema(Number)), map(String, toSub(subList()))],
  ["an unfinished way to subindexed begins anew", map(String, toSub(sub1())), map(String, toSub(sub1(), "n"))],
  [
    "fixed keys come and go, named",
    map(String, fixed({ a: Number, b: String })),
    map(
      String,
      PState.migrated(fixed({ b: String, c: String }), "m", same)
        .addFixedKeys("c")
        .removeFixedKeys("a"),
    ),
  ],
  [
    "a value that holds something subindexed is migrated round it",
    map(String, fixed({ a: Number, posts: sub1() })),
    map(String, migrated(fixed({ a: String, posts: sub1() }), "m")),
  ],
  [
    "several migrations, one inside another's structure",
    map(String, map(String, Number)),
    map(String, toSub(PState.mapSchema(String, migrated(String, "inner")).subindexed())),
  ],
])("fits: %s", (_, old, now) => {
  expect(schemas(old, now)).toEqual(fits);
});

test.each<[string, SchemaArg, SchemaArg]>([
  ["a class narrows", map(String, Animal), map(String, Dog)],
  ["Object narrows", map(String, Object), map(String, Number)],
  ["a class becomes another", map(String, Number), map(String, String)],
  ["keys become others", map(String, Number), map(Number, Number)],
  ["a whole map becomes subindexed", map(String, map(String, Number)), sub(Number)],
  ["a subindexed map becomes whole", sub(Number), map(String, map(String, Number))],
  ["a subindexed map becomes Object", sub(Number), map(String, Object)],
  ["size tracking changes", sub(Number), map(String, map(String, Number).subindexed({ withoutSizeTracking: true }))],
  ["a fixed key goes", fixed({ a: Number, b: String }), fixed({ a: Number })],
  ["the top becomes a leaf", map(String, Number), Map],
  ["the top becomes fixed keys", map(String, Number), fixed({ a: Number })],
  ["a migration is dropped", map(String, migrated(String, "m")), map(String, String)],
  [
    "a migration inside a whole value",
    map(String, map(String, Number)),
    map(String, map(String, migrated(String, "m"))),
  ],
  ["a migration of one fixed key", map(String, fixed({ a: Number })), map(String, fixed({ a: migrated(String, "m") }))],
  ["a migration of a structure", map(String, map(String, Number)), map(String, migrated(sub1(), "m"))],
  ["subindexed without saying so", map(String, map(String, Number)), map(String, migrated(sub1(), "m"))],
  ["what is subindexed already", sub(Number), map(String, toSub(sub1()))],
  ["what is subindexed becomes whole", sub(Number), map(String, migrated(map(String, Number), "m"))],
  ["migrateToSubindexed of what stays whole", map(String, Number), map(String, toSub(String))],
  ["another schema under the same id", map(String, migrated(String, "m")), map(String, migrated(Number, "m"))],
  [
    "a fixed key that is not named",
    map(String, fixed({ a: Number })),
    map(String, migrated(fixed({ a: Number, b: Number }), "m")),
  ],
  [
    "a fixed key that is named and does not come",
    map(String, fixed({ a: Number })),
    map(String, PState.migrated(fixed({ a: String }), "m", same).removeFixedKeys("z")),
  ],
  [
    "a fixed key goes with something subindexed",
    map(String, fixed({ a: Number, posts: sub1() })),
    map(String, PState.migrated(fixed({ a: Number }), "m", same).removeFixedKeys("posts")),
  ],
  ["elements of a list", map(String, subList()), map(String, PState.listSchema(migrated(String, "m")).subindexed())],
])("is refused: %s", (_, old, now) => {
  expect(schemas(old, now)).toBe("INCOMPATIBLE_UPDATE");
});

test("a wrapper may be left out once its migration is complete", () => {
  expect(schemas(map(String, migrated(String, "m")), map(String, String))).toBe("INCOMPATIBLE_UPDATE");
  expect(schemas(map(String, migrated(String, "m")), map(String, String), true)).toEqual(fits);
  expect(schemas(map(String, toSub(sub1())), sub(Number), true)).toEqual(fits);
  expect(schemas(map(String, migrated(String, "m")), map(String, Number), true)).toBe("INCOMPATIBLE_UPDATE");
});

test("a depot's migration, too", () => {
  const migrating = { name: "*d", global: false, tick: false, migration: "m" };
  const from = contract({ depots: [migrating] });
  expect(outcome(contract(), { from })).toBe("INCOMPATIBLE_UPDATE");
  expect(outcome(contract(), { from, finished: ["*d"] })).toEqual(fits);
  expect(outcome(contract({ depots: [{ ...migrating, migration: "n" }] }), { from })).toEqual(fits);
});

function fixed(fields: Record<string, SchemaArg>): SchemaArg {
  return PState.fixedKeysSchema(fields);
}

function sub(value: SchemaArg): SchemaArg {
  return PState.mapSchema(String, PState.mapSchema(String, value).subindexed());
}

function same<T>(value: T): T {
  return value;
}

function toSub(to: SchemaArg, id = "m"): SchemaArg {
  const changes = { toSubindexed: true, addedKeys: [], removedKeys: [] };
  return { kind: "migrated", to: schemaNode(to), id, migrate: same, options: changes };
}

function subList(): SchemaArg {
  return PState.listSchema(Number).subindexed();
}

function sub1(): SchemaArg {
  return PState.mapSchema(String, Number).subindexed();
}

function migrated(to: SchemaArg, id: string): SchemaArg {
  return PState.migrated(to, id, (value) => value);
}

test("the message names the object, both schemas and the way out", () => {
  const from = contract({ pstates: [pstate(PState.mapSchema(String, Number))] });
  const to = contract({ pstates: [pstate(PState.mapSchema(String, String))] });
  const check = () => checkUpdate({ moduleName: "M", from, to, objectsToDelete: [], used: [] });
  expect(check).toThrow(
    "$$p of M changes its values from Number to String; wrap the new schema in PState.migrated, or use a new PState",
  );
});
