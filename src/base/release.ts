// The release that this code belongs to; the same as in package.json (checked in tests/unit/base/release.test.ts). Peers compare it at hello.

export const release = "0.1.0";
