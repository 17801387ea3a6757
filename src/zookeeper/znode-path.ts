// Which names a znode may have. The same rules as Apache's server: a client that is refused here is refused there.

import { ERR, ZookeeperRefusal } from "./messages.ts";

/** Nodes that exist from the start and cannot be removed. */
export const specialPaths: ReadonlySet<string> = new Set(["/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"]);

/** Refuses with badArguments what is no path: relative, ending in "/", with empty, "." or ".." parts, or with control characters. */
export function checkPath(path: string): void {
  if (path === "/") return;
  if (path.charCodeAt(0) !== 47 || path.endsWith("/")) throw new ZookeeperRefusal(ERR.badArguments);
  let partStart = 1;
  for (let i = 1; i <= path.length; i++) {
    const unit = i < path.length ? path.charCodeAt(i) : 47;
    if (unit === 47) {
      const part = i - partStart;
      const dots = part > 0 && part < 3 && path.charCodeAt(partStart) === 46 && path.charCodeAt(i - 1) === 46;
      if (part === 0 || dots) throw new ZookeeperRefusal(ERR.badArguments);
      partStart = i + 1;
    } else if (isForbidden(unit)) {
      throw new ZookeeperRefusal(ERR.badArguments);
    }
  }
}

function isForbidden(unit: number): boolean {
  return unit < 0x20 || (unit >= 0x7f && unit <= 0x9f) || (unit >= 0xd800 && unit <= 0xf8ff) || unit >= 0xfff0;
}

/** "/a" → "/", "/a/b" → "/a". */
export function parentPath(path: string): string {
  const slash = path.lastIndexOf("/");
  return slash <= 0 ? "/" : path.slice(0, slash);
}

export function nameOf(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}
