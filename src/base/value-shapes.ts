// Shapes: what the value codec remembers about objects with the same names in the same order. The writer keeps the encoded header and a generated
// function that writes the values; the reader finds a shape by the header's bytes and builds the object with a generated literal. A shape earns its
// generated code after a few uses, and the number of shapes is bounded: objects used as dictionaries fall back to plain loops.
// Measured (bun 1.4, one core of two) on { userId: "user-10001", cents: 100, at: <epoch ms> }: encode 69 ns, decode 91 ns, one field of three 52 ns;
// JSON.stringify 114 ns, JSON.parse 152 ns.
import { RamaError } from "./errors.ts";
import type { ClassRegistry } from "./values.ts";
import { ByteReader, type ByteWriter } from "./value-bytes.ts";
import { readValue, skipValue } from "./value-decode.ts";
import { TAG_INSTANCE, TAG_MAP, TAG_OBJECT } from "./value-tags.ts";
import { writeValue } from "./value-encode.ts";

/** Objects with more fields are encoded one field at a time. */
const fieldsMax = 48;
/** Beyond this many shapes no new ones are kept (each costs about 2 KB with its code). */
const shapesMax = 4000;
/** Uses before code is generated. */
const usesBeforeCode = 3;

// ---- writing

export interface EncodeShape {
  readonly names: readonly string[];
  readonly header: Uint8Array;
  /** Writes the values after the header; false (bytes undefined) when a field is undefined. */
  write(writer: ByteWriter, value: Record<string, unknown>): boolean;
}

/** A step in the trie of names; the last-taken way is kept apart, for most objects of a place have one shape. */
interface Node {
  readonly name: string;
  readonly parent: Node | undefined;
  readonly depth: number;
  lastName: string | undefined;
  lastNode: Node | undefined;
  next: Map<string, Node> | undefined;
  shape: EncodeShape | undefined;
  uses: number;
}

let nodes = 0;

function newNode(name: string, parent: Node | undefined): Node {
  nodes++;
  const depth = parent === undefined ? 0 : parent.depth + 1;
  return { name, parent, depth, lastName: undefined, lastNode: undefined, next: undefined, shape: undefined, uses: 0 };
}

const root = newNode("", undefined);

/** The shape of an object by its own enumerable names; undefined when it has none worth keeping. */
export function shapeOf(value: Record<string, unknown>): EncodeShape | undefined {
  let node: Node | undefined = root;
  for (const name in value) {
    if (node!.lastName === name) node = node!.lastNode;
    else {
      node = step(node!, name);
      if (node === undefined) return undefined;
    }
  }
  return node!.shape ?? makeShape(node!);
}

function step(node: Node, name: string): Node | undefined {
  let next = node.next?.get(name);
  if (next === undefined) {
    if (node.depth >= fieldsMax || nodes > shapesMax * 4) return undefined;
    next = newNode(name, node);
    node.next ??= new Map();
    node.next.set(name, next);
  }
  node.lastName = name;
  node.lastNode = next;
  return next;
}

function makeShape(node: Node): EncodeShape | undefined {
  if (++node.uses < usesBeforeCode) return undefined;
  const names: string[] = [];
  for (let at: Node = node; at.parent !== undefined; at = at.parent) names.unshift(at.name);
  node.shape = { names, header: writeHeader(names), write: generateWrite(names) };
  return node.shape;
}

function generateWrite(names: readonly string[]): EncodeShape["write"] {
  const reads = names.map(
    (name, i) => `const f${i} = o[${JSON.stringify(name)}]; if (f${i} === undefined) return false;`,
  );
  const writes = names.map(
    (_, i) =>
      `if (typeof f${i} === "string") s(w, f${i}); else if (typeof f${i} === "number") n(w, f${i}); else v(w, f${i});`,
  );
  const source = `return function writeShape(w, o) { ${reads.join(" ")} ${writes.join(" ")} return true; }`;
  return new Function("v", "s", "n", source)(writeValue, writeValue, writeValue);
}

const textEncoder = new TextEncoder();

/** The header's bytes: length, count, names. */
export function writeHeader(names: readonly string[]): Uint8Array {
  const body: number[] = [];
  pushVarint(body, names.length);
  for (const name of names) {
    if (!name.isWellFormed())
      throw new RamaError("NOT_SERIALIZABLE", `the field name ${JSON.stringify(name)} is not well-formed text`);
    const bytes = textEncoder.encode(name);
    pushVarint(body, bytes.length);
    for (const byte of bytes) body.push(byte);
  }
  const head: number[] = [];
  pushVarint(head, body.length);
  return Uint8Array.from([...head, ...body]);
}

function pushVarint(target: number[], value: number): void {
  let rest = value;
  while (rest > 0x7f) {
    target.push((rest & 0x7f) | 0x80);
    rest >>>= 7;
  }
  target.push(rest);
}

// ---- reading

export interface ReaderShape {
  readonly names: readonly string[];
  /** What follows the header's length. */
  readonly body: Uint8Array;
  read: ((reader: ByteReader) => unknown) | undefined;
  uses: number;
  /** Plans of `scanFields`, by its number. */
  readonly scans: (Scan | undefined)[];
}

const buckets: ReaderShape[][] = Array.from({ length: 1024 }, () => []);
let readerShapes = 0;

/** Reads a header and finds its shape; `reader.pos` is then at the first value. */
export function readerShape(reader: ByteReader): ReaderShape {
  const length = reader.varint();
  const from = reader.skip(length);
  const bytes = reader.bytes;
  const last = from + length - 1;
  const bucket = buckets[(length * 67 + bytes[last]! * 31 + bytes[from + (length >> 1)]! * 7 + bytes[from]!) & 1023]!;
  for (let i = 0; i < bucket.length; i++) {
    const shape = bucket[i]!;
    if (matches(shape.body, bytes, from, length)) {
      if (shape.read === undefined && ++shape.uses === usesBeforeCode) shape.read = generateRead(shape.names);
      return shape;
    }
  }
  const shape = decodeHeader(reader, from, length);
  if (readerShapes < shapesMax && shape.names.length <= fieldsMax) {
    readerShapes++;
    bucket.push(shape);
  }
  return shape;
}

function matches(body: Uint8Array, bytes: Uint8Array, from: number, length: number): boolean {
  if (body.length !== length) return false;
  for (let i = length - 1; i >= 0; i--) if (body[i] !== bytes[from + i]) return false;
  return true;
}

function decodeHeader(reader: ByteReader, from: number, length: number): ReaderShape {
  const after = reader.pos;
  reader.pos = from;
  const count = reader.varint();
  if (count > length) throw new RamaError("BAD_VALUE", "an object's header counts more names than it holds");
  const names: string[] = [];
  for (let i = 0; i < count; i++) names.push(reader.text());
  if (reader.pos !== after) throw new RamaError("BAD_VALUE", "an object's header has a wrong length");
  return { names, body: reader.bytes.slice(from, from + length), read: undefined, uses: 0, scans: [] };
}

function generateRead(names: readonly string[]): (reader: ByteReader) => unknown {
  const fields = names.map((name) => `[${JSON.stringify(name)}]: v(r)`);
  const plain = names.every((name) => name !== "__proto__" && !/^\d+$/.test(name));
  const literal = plain ? names.map((name) => `${JSON.stringify(name)}: v(r)`) : fields;
  return new Function("v", `return function readShape(r) { return { ${literal.join(", ")} }; }`)(readValue);
}

// ---- reading some fields

type Scan = (reader: ByteReader) => unknown[];
export type FieldScan = (bytes: Uint8Array, start: number, end: number) => unknown[];

let scans = 0;

/**
 * A function that decodes only the named top-level fields of an encoded plain object, class instance or Map with string keys, as a fresh array in
 * the order of `fields`; null for what is absent, and for every field of any other value.
 */
export function scanFields(fields: readonly string[], classes?: ClassRegistry): FieldScan {
  const number = scans++;
  const reader = new ByteReader(new Uint8Array(0), 0, 0, classes);
  return (bytes, start, end) => {
    reader.open(bytes, start, end);
    const tag = reader.u8();
    if (tag === TAG_INSTANCE) reader.skip(reader.varint());
    else if (tag !== TAG_OBJECT) return tag === TAG_MAP ? scanMap(reader, fields) : fields.map(() => null);
    const shape = readerShape(reader);
    let scan = shape.scans[number];
    if (scan === undefined) {
      scan = generateScan(shape.names, fields);
      shape.scans[number] = scan;
    }
    return scan(reader);
  };
}

function generateScan(names: readonly string[], fields: readonly string[]): Scan {
  const wanted = new Map(fields.map((field) => [field, names.indexOf(field)]));
  const last = Math.max(-1, ...wanted.values());
  const steps: string[] = [];
  for (let i = 0; i <= last; i++) steps.push([...wanted.values()].includes(i) ? `const f${i} = v(r);` : "s(r);");
  const result = fields.map((field) => (wanted.get(field)! < 0 ? "null" : `f${wanted.get(field)}`));
  return new Function("v", "s", `return function scanShape(r) { ${steps.join(" ")} return [${result.join(", ")}]; }`)(
    readValue,
    skipValue,
  );
}

function scanMap(reader: ByteReader, fields: readonly string[]): unknown[] {
  const found: unknown[] = fields.map(() => null);
  for (let count = reader.varint(); count > 0; count--) {
    const at = fields.indexOf(readValue(reader) as string);
    if (at < 0) skipValue(reader);
    else found[at] = readValue(reader);
  }
  return found;
}
