// The worker as a few functions that return promises.

export class Engine {
  #worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
  #waiting = new Map();
  #next = 0;
  #failed; // a worker that was not loaded answers nobody

  constructor() {
    this.#worker.onmessage = ({ data: { id, answer, error } }) => {
      const { resolve, reject } = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error === undefined) resolve(answer);
      else reject(new Error(error));
    };
    this.#worker.onerror = (event) => {
      const error = new Error(event.message ?? "a part of the page was not loaded; load the page again");
      if (event.message === undefined) this.#failed = error;
      for (const { reject } of this.#waiting.values()) reject(error);
      this.#waiting.clear();
    };
  }

  /** Load a model (Uint8Array) into "wasm" or "webgpu". */
  open(model, engine, threads) {
    return this.#ask({ type: "open", model, engine, threads }, []);
  }

  /** People in an ImageData, and ms of what was done. The ImageData cannot be used afterwards. */
  find({ data, width, height }) {
    return this.#ask({ type: "frame", rgba: data, width, height }, [data.buffer]);
  }

  #ask(message, transferred) {
    return new Promise((resolve, reject) => {
      if (this.#failed) throw this.#failed;
      const id = this.#next++;
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage({ ...message, id }, transferred);
    });
  }
}

/** Threads that WASM may have here: one, where the page is not isolated. */
export function allowedThreads() {
  return self.crossOriginIsolated ? Math.min(navigator.hardwareConcurrency || 1, 8) : 1;
}
