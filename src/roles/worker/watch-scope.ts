// What a path that is watched says about where its value can change: below which top-level key, and whether the change can be told finely.
import type { Steps } from "../../paths/spec.ts";

export interface WatchScope {
  /** The top-level key, out of the arguments; undefined when the path may look anywhere in the partition. */
  readonly leading: ((args: readonly unknown[]) => unknown) | undefined;
  /** A custom navigator made the value: it is told as a whole. */
  readonly coarse: boolean;
}

export function watchScope(steps: Steps): WatchScope {
  return { leading: leadingArgument(steps), coarse: hasCustom(steps) };
}

function leadingArgument(steps: Steps): WatchScope["leading"] {
  const first = steps[0];
  const arg = first?.nav === "key" || first?.nav === "must" ? first.args[0] : undefined;
  if (arg?.kind === "slot") {
    const { index } = arg;
    return (args) => args[index];
  }
  if (arg?.kind === "const") {
    const { value } = arg;
    return () => value;
  }
  return undefined;
}

function hasCustom(steps: Steps): boolean {
  return steps.some(({ nav, paths }) => nav === "customNav" || nav === "customNavBuilder" || paths.some(hasCustom));
}
