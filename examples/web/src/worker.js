// The networks, away from the page's own thread.
import mjs from "onnxruntime-web/ort-wasm-simd-threaded.mjs?url";
import wasm from "onnxruntime-web/ort-wasm-simd-threaded.wasm?url";

let ort; // of the session
let session;
let bgr = new Uint8Array(0);

const handlers = {
  async open({ model, engine, threads }) {
    let runtime;
    if (engine === "webgpu") {
      runtime = await import("onnxruntime-web/webgpu");
      const [gpuMjs, gpuWasm] = await Promise.all([
        import("onnxruntime-web/ort-wasm-simd-threaded.asyncify.mjs?url"),
        import("onnxruntime-web/ort-wasm-simd-threaded.asyncify.wasm?url"),
      ]);
      runtime.env.wasm.wasmPaths = { mjs: gpuMjs.default, wasm: gpuWasm.default };
    } else {
      runtime = await import("onnxruntime-web/wasm");
      runtime.env.wasm.wasmPaths = { mjs, wasm };
    }
    runtime.env.wasm.numThreads = threads;
    runtime.env.logLevel = "error";
    const made = await runtime.InferenceSession.create(model, { executionProviders: [engine] });
    await session?.release();
    [ort, session] = [runtime, made];
    return { loaded: performance.getEntriesByType("resource").map((entry) => entry.name) };
  },

  async frame({ rgba, width, height }) {
    const start = performance.now();
    const count = width * height;
    if (bgr.length !== count * 3) bgr = new Uint8Array(count * 3);
    for (let from = 0, to = 0; to < bgr.length; from += 4, to += 3) {
      bgr[to] = rgba[from + 2];
      bgr[to + 1] = rgba[from + 1];
      bgr[to + 2] = rgba[from];
    }
    const prepared = performance.now();
    if (!session) throw new Error("There is no model yet.");
    const found = await session.run({ image: new ort.Tensor("uint8", bgr, [height, width, 3]) });
    const people = unpack(found);
    for (const tensor of Object.values(found)) tensor.dispose();
    return { people, read: prepared - start, run: performance.now() - prepared };
  },
};

function unpack({ boxes, box_scores: scores, keypoints, scores: peaks, confidences }) {
  const [count, names] = peaks.dims;
  return Array.from({ length: count }, (_, i) => ({
    box: [...boxes.data.subarray(4 * i, 4 * i + 4)],
    score: scores.data[i],
    keypoints: Array.from({ length: names }, (_, k) => {
      const at = i * names + k;
      return [keypoints.data[2 * at], keypoints.data[2 * at + 1], peaks.data[at], confidences.data[at]];
    }),
  }));
}

// One request after the other: no model is exchanged while a frame is in it.
let last = Promise.resolve();
self.onmessage = ({ data }) => {
  last = last.then(async () => {
    try {
      self.postMessage({ id: data.id, answer: await handlers[data.type](data) });
    } catch (error) {
      self.postMessage({ id: data.id, error: error.message ?? String(error) });
    }
  });
};
