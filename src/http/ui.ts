// The Cluster UI's files: plain HTML, CSS and JavaScript in src/ui-static, carried inside the executable as text.
import appScript from "../ui-static/app.js" with { type: "text" };
import index from "../ui-static/index.html" with { type: "text" };
import style from "../ui-static/style.css" with { type: "text" };

const assets: Readonly<Record<string, { readonly type: string; readonly text: string }>> = {
  "/": { type: "text/html; charset=utf-8", text: index as unknown as string },
  "/app.js": { type: "text/javascript; charset=utf-8", text: appScript as unknown as string },
  "/style.css": { type: "text/css; charset=utf-8", text: style as unknown as string },
};

export function uiAsset(path: string): Response | undefined {
  const asset = assets[path];
  return asset && new Response(asset.text, { headers: { "content-type": asset.type, "cache-control": "no-cache" } });
}
