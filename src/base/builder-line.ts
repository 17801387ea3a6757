// Where in the author's file a builder was called: the first frame of the stack that is not one of ours. Errors at build time name it, and so do errors of
// running records. Costs some microseconds per builder call, once per module build.

/** `app.ts:24` of the caller outside of this library; "?" when the stack does not tell. */
export function builderLine(): string {
  const frames = (new Error().stack ?? "").split("\n");
  let ownRoot: string | undefined;
  for (const frame of frames) {
    const found = /(?:\(|at )((?:file:\/\/)?[^()]*?):(\d+):\d+\)?$/.exec(frame);
    if (found === null) continue;
    const file = found[1]!.replace(/^file:\/\//, "").replace(/^.* \(?(?=\/)/, "");
    // The first frame is this file. All that lies beside its folder is ours: the sources, or in a compiled executable what its source map calls them.
    ownRoot ??= ownRootOf(file);
    if (file.startsWith(ownRoot) || file.startsWith("native") || file.startsWith("node:")) continue;
    return `${file.slice(file.lastIndexOf("/") + 1)}:${found[2]}`;
  }
  return "?";
}

/** Without a source map the library is one file. */
function ownRootOf(file: string): string {
  return /base\/builder-line\.[jt]s$/.test(file) ? file.replace(/base\/[^/]*$/, "") : file;
}
