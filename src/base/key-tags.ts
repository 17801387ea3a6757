// First bytes of encoded keys; the layout stands in `key-encoding.ts`.

export const END = 0x00;
export const NULL = 0x02;
export const FALSE = 0x03;
export const TRUE = 0x04;
export const NEGATIVE_INFINITY = 0x05;
export const NEGATIVE_BIG = 0x06;
export const NEGATIVE = 0x0f;
export const POSITIVE = 0x10;
export const POSITIVE_BIG = 0x19;
export const POSITIVE_INFINITY = 0x1a;
export const STRING = 0x20;
export const BYTES = 0x30;
export const DATE = 0x38;
export const ARRAY = 0x40;
export const OBJECT = 0x50;
export const MAP = 0x51;
export const SET = 0x52;
export const INSTANCE = 0x53;
