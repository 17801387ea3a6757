// First bytes of encoded values; the layout stands in `value-codec.ts`.

export const TAG_NULL = 0x00;
export const TAG_FALSE = 0x01;
export const TAG_TRUE = 0x02;
export const TAG_I16 = 0x03;
export const TAG_I32 = 0x04;
export const TAG_F64 = 0x05;
export const TAG_BIGINT = 0x06;
export const TAG_TEXT = 0x07;
export const TAG_UTF16 = 0x08;
export const TAG_BYTES = 0x09;
export const TAG_TYPED = 0x0a;
export const TAG_DATE = 0x0b;
export const TAG_ARRAY = 0x0c;
export const TAG_MAP = 0x0d;
export const TAG_SET = 0x0e;
export const TAG_OBJECT = 0x0f;
export const TAG_INSTANCE = 0x10;
export const TAG_CUSTOM = 0x11;
export const TAG_STAMPED = 0x12;
export const TAG_SHORT_TEXT = 0x40;
export const TAG_SMALL_INT = 0x80;
