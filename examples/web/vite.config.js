import { defineConfig } from "vite";

// WASM threads need a page that is isolated from others; `rtmpose web` sends the same headers.
const isolated = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
};

// What `rtmpose web` sends as a header, too: the page talks to its own server alone, wherever it is served.
const policy = {
  name: "content-security-policy",
  apply: "build",
  transformIndexHtml: () => [
    {
      tag: "meta",
      injectTo: "head-prepend",
      attrs: {
        "http-equiv": "Content-Security-Policy",
        content:
          "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self' blob:; " +
          "img-src 'self' blob: data:; media-src 'self' blob:; object-src 'none'; base-uri 'none'; form-action 'none'",
      },
    },
  ],
};

export default defineConfig({
  plugins: [policy],
  base: "./",
  resolve: { conditions: ["onnxruntime-web-use-extern-wasm", "module", "browser", "import", "default"] },
  worker: { format: "es" },
  // The engine's threads start from its own file: it must stay one, and not become a data: address.
  build: { target: "es2022", assetsInlineLimit: 0 },
  optimizeDeps: { exclude: ["onnxruntime-web"] },
  server: { headers: isolated },
  preview: { headers: isolated },
});
