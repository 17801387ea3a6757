// The SVG file of `rama explain`: the module's objects, then each topology as laid out by layout.ts. Colours say what a step does; a dashed orange frame is one
// transaction. No scripts, no fonts to fetch: it opens in a browser, in an editor, and in a page of documentation.
import type { ExplainedModule, ExplainedObject, ExplainedTopology, StepKind } from "./explained.ts";
import { type Band, type Box, charWidth, type Drawing, layOut, type Line, lineHeight, type Row } from "./layout.ts";

const margin = 28;
const colours: Readonly<Record<StepKind, string>> = {
  compute: "#94a3b8",
  read: "#2563eb",
  write: "#d97706",
  branch: "#8b5cf6",
  go: "#059669",
  answer: "#0d9488",
};
const legend: readonly (readonly [StepKind, string])[] = [
  ["read", "reads a PState"],
  ["write", "writes a PState"],
  ["compute", "computes"],
  ["branch", "branches, loops"],
  ["go", "moves or waits"],
  ["answer", "answers"],
];

const style = `
  text { font: 11px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; fill: #1e293b; white-space: pre; }
  .title { font: 600 22px system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
  .topology { font: 600 16px system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
  .words { font: 12px system-ui, "Segoe UI", "DejaVu Sans", sans-serif; fill: #475569; }
  .head { font-weight: 700; }
  .muted { fill: #64748b; }
  .line { fill: #94a3b8; font-size: 10px; }
  .label { fill: #6d28d9; font-style: italic; }
  .takes { fill: #0f766e; }
  .band { fill: #64748b; font-size: 10px; }
  .frame { fill: #b45309; font-size: 10px; }
`;

interface Part {
  readonly svg: string;
  readonly width: number;
  readonly height: number;
}

export function planDiagram(modules: readonly ExplainedModule[]): string {
  const drawn = modules.flatMap(({ topologies }) => topologies.map((each) => ({ each, drawing: layOut(each) })));
  const widest = Math.max(640, ...drawn.map(({ each, drawing }) => panelWidth(each, drawing)));
  const parts = modules.flatMap((module) => [
    headPart(module),
    ...drawn
      .filter(({ each }) => module.topologies.includes(each))
      .map(({ each, drawing }) => topologyPart(each, drawing, widest)),
  ]);
  const width = Math.max(...parts.map((part) => part.width)) + margin * 2;
  let y = margin;
  const placed = parts.map((part) => {
    const text = `<g transform="translate(${margin} ${round(y)})">${part.svg}</g>`;
    y += part.height + margin;
    return text;
  });
  const name = modules.map(({ module }) => module).join(", ");
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${round(width)}" height="${round(y)}" viewBox="0 0 ${round(width)} ${round(y)}" role="img">`,
    `<title>Plan of ${xml(name)}</title><style>${style}</style>`,
    `<defs>${["move", "wait", "phase"].map(marker).join("")}</defs>`,
    `<rect width="100%" height="100%" fill="#ffffff"/>`,
    ...placed,
    "</svg>",
    "",
  ].join("\n");
}

const edgeColours = { move: "#059669", wait: "#64748b", phase: "#8b5cf6" } as const;

function marker(kind: string): string {
  const colour = edgeColours[kind as keyof typeof edgeColours];
  return `<marker id="to-${kind}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto"><path d="M0 0L8 4L0 8z" fill="${colour}"/></marker>`;
}

// ---- the module

const objectColours: Readonly<Record<ExplainedObject["kind"], string>> = {
  depot: "#0d9488",
  pstate: "#d97706",
  global: "#8b5cf6",
  mirror: "#2563eb",
};

function headPart({ module, objects }: ExplainedModule): Part {
  const lines = [`<text class="title" y="20">${xml(module)}</text>`];
  let y = 48;
  const names = Math.max(0, ...objects.map(({ name }) => name.length)) * charWidth;
  let width = module.length * 13;
  for (const { kind, name, about } of objects) {
    const full = `${kind === "pstate" ? "PState" : kind}: ${about}`;
    lines.push(
      `<rect x="0" y="${y - 9}" width="10" height="10" rx="${kind === "depot" ? 5 : 2}" fill="${objectColours[kind]}"/>`,
      text(18, y, "head", name),
      text(30 + names, y, "words", full),
    );
    width = Math.max(width, 40 + names + full.length * 6.4);
    y += lineHeight + 2;
  }
  y += 6;
  let x = 0;
  for (const [kind, words] of legend) {
    lines.push(`<circle cx="${x + 5}" cy="${y}" r="4" fill="${colours[kind]}"/>`, text(x + 14, y + 4, "words", words));
    x += 30 + words.length * 6.6;
  }
  return { svg: lines.join(""), width: Math.max(width, x), height: y + 8 };
}

// ---- a topology

const inset = 26;

function panelWidth(topology: ExplainedTopology, drawing: Drawing): number {
  return Math.max(drawing.width + inset * 2, topology.transaction.length * 6.2 + 40);
}

function topologyPart(topology: ExplainedTopology, drawing: Drawing, width: number): Part {
  const top = 98;
  const title = `${topology.kind} ${topology.name}`;
  const whole = topology.kind === "microbatch" && topology.writes.length > 0;
  const height = top + drawing.height + inset;
  const left = (width - drawing.width) / 2;
  const svg = [
    `<rect width="${round(width)}" height="${round(height)}" rx="10" fill="#f8fafc" stroke="#e2e8f0"/>`,
    text(18, 28, "topology", title),
    text(18, 48, "words", topology.start),
    text(18, 65, "words", topology.transaction),
    whole ? frame(8, 76, width - 16, height - 84, "one transaction over all tasks: the microbatch") : "",
    `<g transform="translate(${round(left)} ${top})">`,
    ...drawing.bands.map(band),
    ...drawing.lines.map(line),
    ...drawing.boxes.map((box) => stageBox(box, topology)),
    "</g>",
  ];
  return { svg: svg.join("\n"), width, height };
}

function frame(x: number, y: number, width: number, height: number, words: string): string {
  return `<rect x="${round(x)}" y="${round(y)}" width="${round(width)}" height="${round(height)}" rx="10" fill="none" stroke="#d97706" stroke-width="1.4" stroke-dasharray="6 4"/>${
    words === "" ? "" : label(x + 14, y, "frame", words, "#f8fafc")
  }`;
}

/** Text that interrupts the line on which it stands. */
function label(x: number, y: number, name: string, words: string, background: string): string {
  const width = words.length * 6.1 + 8;
  return `<rect x="${round(x - 4)}" y="${round(y - 7)}" width="${round(width)}" height="14" fill="${background}"/>${text(x, y + 4, name, words)}`;
}

function band({ text: words, x, y, width, height, arrow }: Band): string {
  const frame = `<rect x="${round(x)}" y="${round(y)}" width="${round(width)}" height="${round(height)}" rx="8" fill="#ede9fe" fill-opacity="0.55" stroke="#c4b5fd"/>${text(x + 10, y + 14, "band", words)}`;
  if (arrow === undefined) return frame;
  const [at, from, to] = arrow;
  return `${frame}<path d="M${round(at)} ${round(from)}V${round(to)}" stroke="${edgeColours.phase}" stroke-width="3" marker-end="url(#to-phase)" fill="none"/>`;
}

function line({ edge, points }: Line): string {
  const colour = edgeColours[edge.kind];
  const words = `${edge.how}${edge.carries.length === 0 ? "" : `; carries ${edge.carries.join(", ")}`}${edge.commits ? "; what was written before is committed first" : ""}`;
  const path = `<path d="${rounded(points)}" fill="none" stroke="${colour}" stroke-width="1.6"${edge.kind === "wait" ? ' stroke-dasharray="4 3"' : ""} marker-end="url(#to-${edge.kind})"><title>${xml(words)}</title></path>`;
  if (!edge.commits) return path;
  const [x, y] = points[0]!;
  return `${path}<g><title>What was written before is committed before it leaves.</title><rect x="${round(x - 26)}" y="${round(y + 6)}" width="52" height="14" rx="7" fill="#fff7ed" stroke="#d97706"/>${text(x - 20, y + 16.5, "frame", "commits")}</g>`;
}

/** A way along the points with round corners. */
function rounded(points: Line["points"]): string {
  const way = points.filter(([x, y], i) => i === 0 || x !== points[i - 1]![0] || y !== points[i - 1]![1]);
  const parts = [`M${round(way[0]![0])} ${round(way[0]![1])}`];
  for (let i = 1; i < way.length - 1; i++) {
    const [before, corner, after] = [way[i - 1]!, way[i]!, way[i + 1]!];
    const [a, b] = [towards(corner, before), towards(corner, after)];
    parts.push(`L${round(a[0])} ${round(a[1])}Q${round(corner[0])} ${round(corner[1])} ${round(b[0])} ${round(b[1])}`);
  }
  const last = way.at(-1)!;
  return `${parts.join("")}L${round(last[0])} ${round(last[1])}`;
}

function towards([x, y]: readonly [number, number], [tx, ty]: readonly [number, number]): [number, number] {
  const length = Math.hypot(tx - x, ty - y);
  const by = Math.min(8, length / 2) / (length || 1);
  return [x + (tx - x) * by, y + (ty - y) * by];
}

function stageBox(box: Box, topology: ExplainedTopology): string {
  const { stage, rows, x, y, width, height } = box;
  const writes = topology.kind === "stream" && rows.some(({ kind }) => kind === "write");
  const parts = [
    `<g transform="translate(${round(x)} ${round(y)})">`,
    `<rect width="${width}" height="${round(height)}" rx="7" fill="#ffffff" stroke="#cbd5e1"/>`,
    `<path d="M0 42V7a7 7 0 0 1 7 -7H${width - 7}a7 7 0 0 1 7 7V42z" fill="#eef2f7"/>`,
    `<circle cx="19" cy="21" r="11" fill="#334155"/>`,
    `<text x="19" y="25" text-anchor="middle" style="fill:#fff;font-weight:700">${stage.stage}</text>`,
    text(38, 18, "head", stage.title),
    text(38, 34, "muted", stage.where),
    ...rows.map((row) => rowOf(row, width)),
    "</g>",
  ];
  if (writes)
    parts.push(
      frame(x - 6, y - 6, width + 12, height + 12, ""),
      label(x + width - 118, y + height + 6, "frame", "one transaction", "#f8fafc"),
    );
  return parts.join("");
}

function rowOf({ text: words, line: at, indent, kind, y }: Row, width: number): string {
  const x = 14 + indent * 2 * charWidth;
  const isStep = kind !== "label" && kind !== "takes";
  const dot =
    isStep && at !== ""
      ? `<circle cx="${round(x + 4)}" cy="${round(y - 4)}" r="3.5" fill="${colours[kind as StepKind]}"/>`
      : "";
  const name = isStep ? "" : kind;
  const weight = kind === "read" || kind === "write" ? ` style="fill:${colours[kind]}"` : "";
  return `${dot}<text x="${round(x + 13)}" y="${round(y)}"${name === "" ? "" : ` class="${name}"`}${weight}>${xml(words)}</text>${
    at === "" ? "" : `<text x="${round(width - 12)}" y="${round(y)}" text-anchor="end" class="line">${xml(at)}</text>`
  }`;
}

function text(x: number, y: number, name: string, words: string): string {
  return `<text x="${round(x)}" y="${round(y)}" class="${name}">${xml(words)}</text>`;
}

function xml(words: string): string {
  return words.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}

function round(n: number): number {
  return Math.round(n * 10) / 10;
}
