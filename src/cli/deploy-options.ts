// The option strings of `deploy` (cluster.md 4.2): `--moduleOptions 'k=v;k=v'`, `--topologyOptions 'topo,k=v;topo,k=v'`, … into settings that are checked against the
// table of options.
import { RamaError } from "../base/errors.ts";
import { checkOptionValue, findOption } from "../config/options.ts";
import type { OptionSetting } from "../protocol/cluster-records.ts";
import { type Parsed, textOption } from "./command.ts";

const flags: readonly { readonly flag: string; readonly scope: OptionSetting["scope"] }[] = [
  { flag: "moduleOptions", scope: "module" },
  { flag: "topologyOptions", scope: "topology" },
  { flag: "depotOptions", scope: "depot" },
  { flag: "pstateOptions", scope: "pstate" },
];

export function deployOptions(parsed: Parsed): OptionSetting[] {
  return flags.flatMap(({ flag, scope }) => {
    const text = textOption(parsed, flag);
    return text === undefined
      ? []
      : text
          .split(";")
          .filter(Boolean)
          .map((part) => parsePart(part, flag, scope));
  });
}

function parsePart(part: string, flag: string, scope: OptionSetting["scope"]): OptionSetting {
  const comma = scope === "module" ? -1 : part.indexOf(",");
  const pair = part.slice(comma + 1);
  const equals = pair.indexOf("=");
  if (equals < 1 || (scope !== "module" && comma < 1)) {
    const form = scope === "module" ? "name=value;…" : `${scope},name=value;…`;
    throw new RamaError("BAD_ARGUMENTS", `--${flag} takes ${form}, got "${part}"`, { flag, part });
  }
  const name = pair.slice(0, equals).trim();
  const value = parseValue(pair.slice(equals + 1).trim());
  checkOptionValue(name, value, `--${flag}`);
  if (!findOption(name)!.dynamic) {
    throw new RamaError(
      "BAD_CONFIG",
      `--${flag}: ${name} is a config, not a dynamic option; give it with --configOverrides`,
      { name },
    );
  }
  return { scope, object: comma < 0 ? "" : part.slice(0, comma).trim(), name, value };
}

function parseValue(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
