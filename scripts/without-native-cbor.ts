// Leaves cbor-x's optional addon out of what is built: it would be looked for in the node_modules of the machine that built the release.
import type { BunPlugin } from "bun";

export const withoutNativeCbor: BunPlugin = {
  name: "without native cbor",
  setup(build) {
    build.onLoad({ filter: /node_modules[\\/]cbor-extract[\\/]index\.js$/ }, () => ({
      loader: "js",
      contents: "module.exports = undefined;",
    }));
  },
};
