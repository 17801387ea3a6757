// Where in the author's file a builder was called: the first frame of the stack that is not one of ours. Errors at build time name it, and so do errors of
// running records. Costs some microseconds per builder call, once per module build.

/** Our own sources: everything next to this folder. In a compiled executable all of it is one file. */
const ownRoot = import.meta.url.replace(/^file:\/\//, "").replace(/base\/[^/]*$/, "");

/** `app.ts:24` of the caller outside of this library; "?" when the stack does not tell. */
export function builderLine(): string {
  const frames = (new Error().stack ?? "").split("\n");
  for (const frame of frames) {
    const found = /(?:\(|at )((?:file:\/\/)?[^()]*?):(\d+):\d+\)?$/.exec(frame);
    if (found === null) continue;
    const file = found[1]!.replace(/^file:\/\//, "").replace(/^.* \(?(?=\/)/, "");
    if (file.startsWith(ownRoot) || file.startsWith("native") || file.startsWith("node:")) continue;
    return `${file.slice(file.lastIndexOf("/") + 1)}:${found[2]}`;
  }
  return "?";
}
