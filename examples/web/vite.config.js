import { defineConfig } from "vite";

// WASM threads need a page that is isolated from others; `rtmpose web` sends the same headers.
const isolated = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
};

export default defineConfig({
  base: "./",
  resolve: { conditions: ["onnxruntime-web-use-extern-wasm", "module", "browser", "import", "default"] },
  worker: { format: "es" },
  // The engine's threads start from its own file: it must stay one, and not become a data: address.
  build: { target: "es2022", assetsInlineLimit: 0 },
  optimizeDeps: { exclude: ["onnxruntime-web"] },
  server: { headers: isolated },
  preview: { headers: isolated },
});
