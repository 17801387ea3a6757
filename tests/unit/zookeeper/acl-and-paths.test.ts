import { expect, test } from "bun:test";
import { authenticate, isAllowed, maskDigests, resolveAcl, userOf } from "../../../src/zookeeper/acl.ts";
import { ERR, PERM, type ZookeeperRefusal } from "../../../src/zookeeper/messages.ts";
import { checkPath, nameOf, parentPath } from "../../../src/zookeeper/znode-path.ts";

const refusal = (call: () => unknown): number | undefined => {
  try {
    call();
    return undefined;
  } catch (error) {
    return (error as ZookeeperRefusal).code;
  }
};

test("paths that Apache takes are taken, others are bad arguments", () => {
  for (const path of ["/", "/a", "/a/b.c", "/...", "/.a", "/a..", "/é☃"])
    expect([path, refusal(() => checkPath(path))]).toEqual([path, undefined]);
  for (const path of ["", "a", "//", "/a/", "/a//b", "/.", "/a/..", "/a/./b", "/\0", "/a\u0085", "/😀", "/\ufff1"]) {
    expect([path, refusal(() => checkPath(path))]).toEqual([path, ERR.badArguments]);
  }
});

test("parents and names", () => {
  expect(["/", "/a", "/a/b"].map(parentPath)).toEqual(["/", "/", "/a"]);
  expect(nameOf("/a/b")).toBe("b");
});

test("a digest is user and SHA-1 of the whole pair", () => {
  const id = authenticate("digest", Buffer.from("user:password"), "::1")!;
  expect(id).toEqual({ scheme: "digest", id: "user:tpUq/4Pn5A64fVZyQ0gOJ8ZWqkY=" });
  expect(userOf(id)).toBe("user");
  expect(maskDigests([{ perms: 1, ...id }])).toEqual([{ perms: 1, scheme: "digest", id: "user:x" }]);
  expect(authenticate("sasl", new Uint8Array(0), "::1")).toBeUndefined();
});

test("addresses match ranges of both families", () => {
  const from = (client: string, range: string) =>
    isAllowed([{ perms: PERM.read, scheme: "ip", id: range }], PERM.read, [{ scheme: "ip", id: client }]);
  expect([from("10.1.2.3", "10.0.0.0/8"), from("11.1.2.3", "10.0.0.0/8"), from("10.1.2.3", "10.1.2.3")]).toEqual([
    true,
    false,
    true,
  ]);
  expect([from("fe80::1", "fe80::/10"), from("fec0::1", "fe80::/10"), from("::1", "127.0.0.1")]).toEqual([
    true,
    false,
    false,
  ]);
  for (const id of ["10.0.0.256", "10.0.0.0/33", "x", "1::2::3", "1:2:3"]) {
    expect([id, refusal(() => resolveAcl([{ perms: 31, scheme: "ip", id }], []))]).toEqual([id, ERR.invalidAcl]);
  }
});

test("auth stands for what the client has proven, doubles go, an empty list is refused", () => {
  const me = { scheme: "digest", id: "me:hash" };
  const auth = { perms: 31, scheme: "auth", id: "" };
  expect(resolveAcl([auth, { perms: 31, ...me }], [{ scheme: "ip", id: "::1" }, me])).toEqual([{ perms: 31, ...me }]);
  expect(refusal(() => resolveAcl([auth], [{ scheme: "ip", id: "::1" }]))).toBe(ERR.invalidAcl);
  expect(refusal(() => resolveAcl([], [me]))).toBe(ERR.invalidAcl);
});
