// Access control: schemes world, digest, ip, and `auth` as the shorthand for "whoever I am now". Checked at every request, as Apache does.

import { createHash } from "node:crypto";
import { type Acl, type AclList, ERR, type Id, PERM, ZookeeperRefusal } from "./messages.ts";

const ALL_PERMS = 31;

export const openAcl: AclList = [{ perms: ALL_PERMS, scheme: "world", id: "anyone" }];
export const readOnlyAcl: AclList = [{ perms: PERM.read, scheme: "world", id: "anyone" }];

/** Refuses with noAuth unless one of `ids` has any of the bits of `perm`. */
export function checkAcl(acl: AclList, perm: number, ids: readonly Id[]): void {
  if (!isAllowed(acl, perm, ids)) throw new ZookeeperRefusal(ERR.noAuth);
}

export function isAllowed(acl: AclList, perm: number, ids: readonly Id[]): boolean {
  for (const entry of acl) {
    if ((entry.perms & perm) === 0) continue;
    if (entry.scheme === "world" && entry.id === "anyone") return true;
    for (const id of ids) {
      if (id.scheme !== entry.scheme) continue;
      if (entry.scheme === "ip" ? ipMatches(id.id, entry.id) : id.id === entry.id) return true;
    }
  }
  return false;
}

/** What is stored for the ACL a client sends: `auth` replaced, doubles removed. Refuses with invalidAcl what no scheme takes. */
export function resolveAcl(acl: AclList, ids: readonly Id[]): Acl[] {
  const resolved: Acl[] = [];
  const seen = new Set<string>();
  const add = (entry: Acl) => {
    const key = `${entry.perms} ${entry.scheme}:${entry.id}`;
    if (seen.has(key)) return;
    seen.add(key);
    resolved.push(entry);
  };
  for (const entry of acl) {
    if (entry.scheme === "auth") {
      const proven = ids.filter((id) => id.scheme === "digest");
      if (proven.length === 0) throw new ZookeeperRefusal(ERR.invalidAcl);
      for (const id of proven) add({ perms: entry.perms, scheme: id.scheme, id: id.id });
    } else if (isValidId(entry)) {
      add({ perms: entry.perms, scheme: entry.scheme, id: entry.id });
    } else {
      throw new ZookeeperRefusal(ERR.invalidAcl);
    }
  }
  if (resolved.length === 0) throw new ZookeeperRefusal(ERR.invalidAcl);
  return resolved;
}

function isValidId({ scheme, id }: Id): boolean {
  switch (scheme) {
    case "world":
      return id === "anyone";
    case "digest":
      return id.split(":").length === 2;
    case "ip":
      return parseRange(id) !== undefined;
    default:
      return false;
  }
}

/** What an `auth` packet proves; undefined when the scheme is unknown. `clientIp` is the connection's remote address. */
export function authenticate(scheme: string, auth: Uint8Array, clientIp: string): Id | undefined {
  if (scheme === "ip") return { scheme, id: clientIp };
  if (scheme !== "digest") return undefined;
  const colon = auth.indexOf(58);
  const user = Buffer.from(colon < 0 ? auth : auth.subarray(0, colon)).toString("utf8");
  return { scheme, id: `${user}:${createHash("sha1").update(auth).digest("base64")}` };
}

/** For `whoAmI`: the digest is nobody's business. */
export function userOf(id: Id): string {
  return id.scheme === "digest" ? (id.id.split(":", 1)[0] ?? "") : id.id;
}

/** The list as somebody without the admin permission may see it. */
export function maskDigests(acl: AclList): Acl[] {
  return acl.map((entry) => (entry.scheme === "digest" ? { ...entry, id: entry.id.replace(/:.*/s, ":x") } : entry));
}

function ipMatches(clientIp: string, range: string): boolean {
  const client = parseAddress(clientIp);
  const wanted = parseRange(range);
  if (client === undefined || wanted === undefined || client.length !== wanted.bytes.length) return false;
  for (let bit = 0; bit < wanted.bits; bit++) {
    const mask = 128 >> (bit & 7);
    if (((client[bit >> 3] ?? 0) & mask) !== ((wanted.bytes[bit >> 3] ?? 0) & mask)) return false;
  }
  return true;
}

function parseRange(text: string): { bytes: number[]; bits: number } | undefined {
  const [address = "", bitsText] = text.split("/", 2);
  const bytes = parseAddress(address);
  if (bytes === undefined) return undefined;
  const bits = bitsText === undefined ? bytes.length * 8 : Number(bitsText);
  return Number.isInteger(bits) && bits >= 0 && bits <= bytes.length * 8 ? { bytes, bits } : undefined;
}

function parseAddress(text: string): number[] | undefined {
  const v4 = /^(?:::ffff:)?(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/i.exec(text);
  if (v4 !== null) {
    const bytes = v4.slice(1).map(Number);
    return bytes.every((byte) => byte < 256) ? bytes : undefined;
  }
  if (!/^[0-9a-f:]+$/i.test(text)) return undefined;
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const [head = [], tail = []] = halves.map((half) => (half === "" ? [] : half.split(":")));
  const missing = 8 - head.length - tail.length;
  if (halves.length === 1 ? missing !== 0 : missing < 1) return undefined;
  const groups = [...head, ...Array<string>(halves.length === 2 ? missing : 0).fill("0"), ...tail];
  if (!groups.every((group) => /^[0-9a-f]{1,4}$/i.test(group))) return undefined;
  return groups.flatMap((group) => [Number.parseInt(group, 16) >> 8, Number.parseInt(group, 16) & 255]);
}
