// Where everything of the diagram stands. Source blocks stand side by side; in each, rows of stage boxes follow one another so that edges lead down, and a batch is
// a column of its phases, placed like one box. Edges that lead up, or would cross a box, go round by channels at the right. Measures are pixels; text is monospaced, so that its width is known without a browser.
import type { ExplainedEdge, ExplainedStage, ExplainedStep, ExplainedTopology, StepKind } from "./explained.ts";

export const charWidth = 6.7;
export const lineHeight = 17;
const longestRow = 74;
const padding = 14;
const headHeight = 42;
const rankGap = 58;
const boxGap = 36;
const channelWidth = 16;
const bandGap = 22;

export interface Row {
  readonly text: string;
  /** The builder's line, at the right; only on a step's first row. */
  readonly line: string;
  readonly indent: number;
  readonly kind: StepKind | "label" | "takes";
  readonly pstates: readonly string[];
  readonly y: number;
}

export interface Box {
  readonly stage: ExplainedStage;
  readonly rows: readonly Row[];
  readonly width: number;
  readonly height: number;
  x: number;
  y: number;
}

/** All stages of one phase of a batch. */
export interface Band {
  /** From the phase before down to this one. */
  readonly arrow: readonly [x: number, from: number, to: number] | undefined;
  /** The batch. */
  readonly line: string;
  readonly text: string;
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

export interface Line {
  readonly edge: ExplainedEdge;
  readonly points: readonly (readonly [x: number, y: number])[];
}

export interface Drawing {
  readonly boxes: readonly Box[];
  readonly lines: readonly Line[];
  readonly bands: readonly Band[];
  readonly width: number;
  readonly height: number;
}

export function layOut(topology: ExplainedTopology): Drawing {
  const boxes = new Map(topology.stages.map((stage) => [stage.stage, boxOf(stage)]));
  const bands: Band[] = [];
  const batches = batchesOf(topology);
  const inBatch = new Set(batches.flatMap(({ phases }) => phases.flat()));
  const items: Item[] = topology.stages
    .filter(({ stage }) => !inBatch.has(stage))
    .map(({ stage }) => boxItem(boxes.get(stage)!));
  for (const batch of batches) items.push(batchItem(batch, topology.edges, boxes, bands));
  const whole = sideBySide(items, topology.edges);
  whole.place(0, 0);
  const lines = linesOf(topology, boxes, bands, whole.width);
  const channels = lines.flatMap(({ points }) => points.map(([x]) => x));
  const width = Math.max(whole.width, ...channels, ...bands.map((band) => band.x + band.width));
  return { boxes: [...boxes.values()], lines, bands, width, height: whole.height };
}

// ---- boxes

function boxOf(stage: ExplainedStage): Box {
  const rows: Row[] = [];
  let y = headHeight + lineHeight;
  const add = (row: Omit<Row, "y">) => {
    rows.push({ ...row, y });
    y += lineHeight;
  };
  if (stage.takes.length > 0) {
    for (const text of wrapped(`takes ${stage.takes.join(", ")}`, longestRow))
      add({ text, line: "", indent: 0, kind: "takes", pstates: [] });
  }
  addSteps(stage.steps, 0, add);
  const textWidth = Math.max(
    ...rows.map(({ text, line, indent }) => text.length + indent * 2 + (line === "" ? 0 : line.length + 3)),
    stage.title.length + 5,
    stage.where.length + 2,
    24,
  );
  return {
    stage,
    rows,
    width: Math.ceil(textWidth * charWidth) + padding * 2 + 14,
    height: y - lineHeight + 12,
    x: 0,
    y: 0,
  };
}

function addSteps(steps: readonly ExplainedStep[], indent: number, add: (row: Omit<Row, "y">) => void): void {
  for (const { text, line, kind, pstates, inside } of steps) {
    wrapped(text, longestRow - indent * 2).forEach((part, i) => {
      add({ text: part, line: i === 0 ? line : "", indent: indent + (i === 0 ? 0 : 1), kind, pstates });
    });
    for (const { label, steps: inner } of inside) {
      const words = inner.length === 0 ? `${label}: nothing` : label;
      for (const part of wrapped(words, longestRow - indent * 2 - 2))
        add({ text: part, line: "", indent: indent + 1, kind: "label", pstates: [] });
      addSteps(inner, indent + 2, add);
    }
  }
}

/** Cut at spaces, commas and dots of paths; the rest of a long word goes on in the next row. */
function wrapped(text: string, most: number): string[] {
  const rows: string[] = [];
  let rest = text;
  while (rest.length > most) {
    const cut = Math.max(rest.lastIndexOf(" ", most), rest.lastIndexOf(").", most) + 1);
    const at = cut > most / 3 ? cut : most;
    rows.push(rest.slice(0, at));
    rest = rest.slice(at).trimStart();
  }
  return [...rows, rest];
}

// ---- items

/** A box, a batch or a group of them, before it has its place. */
interface Item {
  readonly stages: readonly number[];
  readonly width: number;
  readonly height: number;
  place(x: number, y: number): void;
}

function boxItem(box: Box): Item {
  const place = (x: number, y: number) => {
    box.x = x;
    box.y = y;
  };
  return { stages: [box.stage.stage], width: box.width, height: box.height, place };
}

/** What hangs together is laid out by itself; the parts stand in a row. */
function sideBySide(items: readonly Item[], edges: readonly ExplainedEdge[]): Item {
  const parts = connected(items, edges).map((part) => inRanks(part, edges));
  const place = (x: number, y: number) => {
    let at = x;
    for (const part of parts) {
      part.place(at, y);
      at += part.width + boxGap;
    }
  };
  return {
    stages: items.flatMap(({ stages }) => stages),
    width: parts.reduce((sum, { width }) => sum + width, 0) + boxGap * Math.max(0, parts.length - 1),
    height: Math.max(0, ...parts.map(({ height }) => height)),
    place,
  };
}

function connected(items: readonly Item[], edges: readonly ExplainedEdge[]): Item[][] {
  const parts: Item[][] = [];
  const seen = new Set<Item>();
  for (const first of items.toSorted((a, b) => Math.min(...a.stages) - Math.min(...b.stages))) {
    if (seen.has(first)) continue;
    const part: Item[] = [];
    const visit = (item: Item): void => {
      if (seen.has(item)) return;
      seen.add(item);
      part.push(item);
      for (const other of items) if (linked(item, other, edges) || linked(other, item, edges)) visit(other);
    };
    visit(first);
    parts.push(part);
  }
  return parts;
}

function linked(a: Item, b: Item, edges: readonly ExplainedEdge[]): boolean {
  return edges.some(({ from, to }) => a.stages.includes(from) && b.stages.includes(to));
}

/** Rows, so that each item stands below all that lead to it. */
function inRanks(items: readonly Item[], edges: readonly ExplainedEdge[]): Item {
  const sorted = items.toSorted((a, b) => Math.min(...a.stages) - Math.min(...b.stages));
  const ranks = new Map<Item, number>();
  const parents = new Map<Item, Item[]>();
  sorted.forEach((item, i) => {
    const above = sorted.slice(0, i).filter((other) => linked(other, item, edges));
    parents.set(item, above);
    ranks.set(item, Math.max(-1, ...above.map((other) => ranks.get(other)!)) + 1);
  });
  const rows: Item[][] = [];
  for (const item of sorted) {
    const rank = ranks.get(item)!;
    rows[rank] ??= [];
    rows[rank].push(item);
  }
  const rowWidth = (row: readonly Item[]) => row.reduce((sum, item) => sum + item.width, 0) + boxGap * (row.length - 1);
  const width = Math.max(0, ...rows.map(rowWidth));
  const heights = rows.map((row) => Math.max(...row.map(({ height }) => height)));
  const place = (x: number, y: number) => {
    const middles = new Map<Item, number>();
    let top = y;
    rows.forEach((row, i) => {
      const wanted = (item: Item) => {
        const above = parents.get(item)!;
        return above.length === 0 ? 0 : above.reduce((sum, each) => sum + middles.get(each)!, 0) / above.length;
      };
      const order = row.toSorted((a, b) => wanted(a) - wanted(b) || Math.min(...a.stages) - Math.min(...b.stages));
      let at = x + (width - rowWidth(row)) / 2;
      for (const item of order) {
        item.place(at, top);
        middles.set(item, at + item.width / 2);
        at += item.width + boxGap;
      }
      top += heights[i]! + rankGap;
    });
  };
  const height = heights.reduce((sum, each) => sum + each, 0) + rankGap * Math.max(0, rows.length - 1);
  return { stages: sorted.flatMap(({ stages }) => stages), width, height, place };
}

// ---- batches

interface Batch {
  readonly line: string;
  /** Stages of each phase. */
  readonly phases: readonly (readonly number[])[];
}

/** A phase's stages: those that it begins with, and all that they lead to. */
function batchesOf({ stages, edges }: ExplainedTopology): Batch[] {
  const phases = new Map<number, { line: string; phase: number }>();
  for (const { stage, batch } of stages) if (batch !== undefined) phases.set(stage, batch);
  for (const { from, to, kind } of edges.toSorted((a, b) => a.from - b.from)) {
    const phase = phases.get(from);
    if (kind !== "phase" && phase !== undefined && !phases.has(to)) phases.set(to, phase);
  }
  const batches = new Map<string, number[][]>();
  for (const [stage, { line, phase }] of phases) {
    const batch = batches.get(line) ?? [];
    batches.set(line, batch);
    batch[phase - 1] = [...(batch[phase - 1] ?? []), stage];
  }
  return [...batches].map(([line, list]) => ({ line, phases: list.filter((each) => each !== undefined) }));
}

const bandTop = 24;
const bandInset = 12;

function batchItem(
  { line, phases }: Batch,
  edges: readonly ExplainedEdge[],
  boxes: ReadonlyMap<number, Box>,
  bands: Band[],
): Item {
  const inner = phases.map((stages) =>
    sideBySide(
      stages.toSorted((a, b) => a - b).map((stage) => boxItem(boxes.get(stage)!)),
      edges,
    ),
  );
  const words = phases.map((_, i) =>
    i === 0 ? `batch at ${line}: phase 1` : `phase ${i + 1}, when phase ${i} has ended everywhere`,
  );
  const width = Math.max(
    ...inner.map((each) => each.width + bandInset * 2),
    ...words.map((text) => text.length * charWidth + 20),
  );
  const heights = inner.map(({ height }) => height + bandTop + bandInset);
  const place = (x: number, y: number) => {
    let top = y;
    inner.forEach((each, i) => {
      each.place(x + (width - each.width) / 2, top + bandTop);
      const arrow = i === 0 ? undefined : ([x + width / 2, top - bandGap, top] as const);
      bands.push({ line, text: words[i]!, x, y: top, width, height: heights[i]!, arrow });
      top += heights[i]! + bandGap;
    });
  };
  const height = heights.reduce((sum, each) => sum + each, 0) + bandGap * (phases.length - 1);
  return { stages: phases.flat(), width, height, place };
}

// ---- edges

function linesOf(
  topology: ExplainedTopology,
  boxes: ReadonlyMap<number, Box>,
  bands: readonly Band[],
  widest: number,
): Line[] {
  const edges = topology.edges.filter((edge) => drawn(topology, edge));
  let channel = widest + 18;
  const taken = new Map<string, number>();
  const port = (stage: number, side: "to" | "from"): number => {
    const key = `${side} ${stage}`;
    const count = (taken.get(key) ?? 0) + 1;
    taken.set(key, count);
    const box = boxes.get(stage)!;
    return box.x + (box.width * count) / (edges.filter((edge) => edge[side] === stage).length + 1);
  };
  return edges.map((edge): Line => {
    const to = boxes.get(edge.to)!;
    const end: Point = [port(edge.to, "to"), to.y];
    const start = startOf(edge, topology, bands) ?? [port(edge.from, "from"), bottomOf(boxes.get(edge.from)!)];
    const middle = to.y - 26;
    const direct: Point[] = [start, [start[0], middle], [end[0], middle], end];
    if (end[1] > start[1] && isClear(direct, boxes)) return { edge, points: direct };
    const x = channel;
    channel += channelWidth;
    const [leave, arrive] = [start[1] + 12, end[1] - 14];
    return { edge, points: [start, [start[0], leave], [x, leave], [x, arrive], [end[0], arrive], end] };
  });
}

type Point = readonly [x: number, y: number];

/** What follows a batch is reached from its last phase. */
function startOf(edge: ExplainedEdge, { stages, edges }: ExplainedTopology, bands: readonly Band[]): Point | undefined {
  if (edge.kind !== "phase" || stages[edge.to - 1]!.batch !== undefined) return undefined;
  const own = edges.find(({ from, to }) => from === edge.from && stages[to - 1]!.batch !== undefined);
  const last = bands.findLast(({ line }) => own !== undefined && line === stages[own.to - 1]!.batch!.line);
  return last === undefined ? undefined : [last.x + last.width / 2, last.y + last.height];
}

function bottomOf(box: Box): number {
  return box.y + box.height;
}

/** No box lies in the way. */
function isClear(points: readonly Point[], boxes: ReadonlyMap<number, Box>): boolean {
  for (let i = 1; i < points.length; i++) {
    const [[ax, ay], [bx, by]] = [points[i - 1]!, points[i]!];
    for (const box of boxes.values()) {
      const beside = Math.max(ax, bx) <= box.x || Math.min(ax, bx) >= box.x + box.width;
      const aside = Math.max(ay, by) <= box.y || Math.min(ay, by) >= bottomOf(box);
      if (!beside && !aside) return false;
    }
  }
  return true;
}

/** Later phases follow from the frames. */
function drawn({ stages }: ExplainedTopology, edge: ExplainedEdge): boolean {
  const { batch } = stages[edge.to - 1]!;
  return edge.kind !== "phase" || batch === undefined || batch.phase === 1;
}
