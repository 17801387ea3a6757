// Where in the author's file a builder was called: the first frame of the stack that is not one of ours. Errors at build time name it, and so do errors of
// running records. Costs some microseconds per builder call, once per module build.

/** `app.ts:24` of the caller outside of this library; "?" when the stack does not tell. With an error: of the caller that it was thrown to. */
export function builderLine(error?: Error): string {
  const here = framesOf(new Error());
  if (here.length === 0) return "?";
  // The first frame is this file. All that lies beside its folder is ours: the sources, or in a compiled executable what its source map calls them.
  const ownRoot = ownRootOf(here[0]!.file);
  const isOurs = (file: string) => file.startsWith(ownRoot) || file.startsWith("native") || file.startsWith("node:");
  const found = (error === undefined ? here : framesOf(error)).find(({ file }) => !isOurs(file));
  return found === undefined ? "?" : `${found.file.slice(found.file.lastIndexOf("/") + 1)}:${found.line}`;
}

function framesOf(error: Error): { file: string; line: string }[] {
  const frames: { file: string; line: string }[] = [];
  for (const frame of (error.stack ?? "").split("\n")) {
    const found = /(?:\(|at )((?:file:\/\/)?[^()]*?):(\d+):\d+\)?$/.exec(frame);
    if (found === null) continue;
    frames.push({ file: found[1]!.replace(/^file:\/\//, "").replace(/^.* \(?(?=\/)/, ""), line: found[2]! });
  }
  return frames;
}

/** Without a source map the library is one file. */
function ownRootOf(file: string): string {
  return /base\/builder-line\.[jt]s$/.test(file) ? file.replace(/base\/[^/]*$/, "") : file;
}
