// Arithmetic of ops and aggregators over numbers and bigints: the result is a bigint when an operand is one, unless the other has a fraction.

type Numeric = number | bigint;

function refuse(what: string, value: unknown): never {
  const shown = value === null || value === undefined ? "null" : `a ${typeof value}`;
  throw new TypeError(`${what} needs numbers, not ${shown}`);
}

export function isNumeric(value: unknown): value is Numeric {
  return typeof value === "number" || typeof value === "bigint";
}

function mixed(
  what: string,
  a: unknown,
  b: unknown,
  onNumbers: (x: number, y: number) => number,
  onBigints: (x: bigint, y: bigint) => bigint,
): Numeric {
  if (!isNumeric(a)) refuse(what, a);
  if (!isNumeric(b)) refuse(what, b);
  const integers = (typeof a === "bigint" || Number.isInteger(a)) && (typeof b === "bigint" || Number.isInteger(b));
  return integers ? onBigints(BigInt(a), BigInt(b)) : onNumbers(Number(a), Number(b));
}

export function add(a: unknown, b: unknown): Numeric {
  if (typeof a === "number" && typeof b === "number") return a + b;
  return mixed(
    "addition",
    a,
    b,
    (x, y) => x + y,
    (x, y) => x + y,
  );
}

export function subtract(a: unknown, b: unknown): Numeric {
  if (typeof a === "number" && typeof b === "number") return a - b;
  return mixed(
    "subtraction",
    a,
    b,
    (x, y) => x - y,
    (x, y) => x - y,
  );
}

export function multiply(a: unknown, b: unknown): Numeric {
  if (typeof a === "number" && typeof b === "number") return a * b;
  return mixed(
    "multiplication",
    a,
    b,
    (x, y) => x * y,
    (x, y) => x * y,
  );
}

/** Division of bigints drops the remainder. */
export function divide(a: unknown, b: unknown): Numeric {
  if (typeof a === "number" && typeof b === "number") return a / b;
  return mixed(
    "division",
    a,
    b,
    (x, y) => x / y,
    (x, y) => x / y,
  );
}

export function negate(a: unknown): Numeric {
  if (typeof a === "number" || typeof a === "bigint") return -a;
  return refuse("negation", a);
}

/** The remainder by 2 is 0. */
export function isEven(a: unknown): boolean {
  if (typeof a === "bigint") return a % 2n === 0n;
  if (typeof a === "number") return a % 2 === 0;
  return refuse("IS_EVEN", a);
}
