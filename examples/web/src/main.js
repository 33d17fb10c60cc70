// The page: a picture, a video or the camera in, people out. Everything stays in this tab.
import { drawPeople } from "./draw.js";
import { Engine, allowedThreads } from "./engine.js";
import { describe } from "./metadata.js";

const MODEL = "model/pipeline.onnx";
const $ = (id) => document.getElementById(id);
const [view, video] = [$("view"), $("video")];
const frame = document.createElement("canvas");
const grab = frame.getContext("2d", { willReadFrequently: true });
const engine = new Engine();
const threads = allowedThreads();

let model; // what the artifact says of itself
let bytes; // the artifact
let opened = "wasm"; // the engine that runs
let last; // people in the frame that is shown, and the model that found them
let running = 0; // number of the source that is on; a later one ends an earlier one
let stream;
let address; // of the video that is on

// For programs that look at this page: what was found last, and the canvas that it was found in.
globalThis.rtmpose = { result: null, frame };

const say = (text) => ($("status").textContent = text);
function complain(error) {
  $("error").hidden = error === null;
  $("error").textContent = error === null ? "" : error.message;
}

async function openModel(content, name) {
  complain(null);
  const description = describe(content);
  const chosen = $("engine").value;
  say(`Loading ${name} (${(content.length / 1e6).toFixed(1)} MB)…`);
  const start = performance.now();
  let loaded;
  try {
    ({ loaded } = await engine.open(content, chosen, threads));
  } catch (error) {
    $("engine").value = opened;
    throw new Error(`${name} cannot be run: ${error.message}`);
  }
  [model, bytes, opened] = [description, content, chosen];
  const took = performance.now() - start;
  const how = chosen === "wasm" ? `WebAssembly, ${threads} ${threads === 1 ? "thread" : "threads"}` : "WebGPU";
  $("engine-note").textContent = `Running on ${how}. ${engineNote()}`;
  $("model-note").textContent = `${description.pose.name} and ${description.detector.name}, ${description.names.length} keypoints`;
  say(`Ready: ${name} was loaded in ${(took / 1000).toFixed(1)} s.`);
  keepForOffline(loaded);
}

/** What this visit loaded is there in the next one, with or without a network. */
async function keepForOffline(loaded) {
  if (!("serviceWorker" in navigator && import.meta.env.PROD)) return;
  const own = performance.getEntriesByType("resource").map((entry) => entry.name);
  const all = new Set([location.href, ...own, ...loaded].filter((url) => url.startsWith(location.origin)));
  try {
    await navigator.serviceWorker.register("sw.js");
    const cache = await caches.open("rtmpose-1");
    await cache.addAll([...all]);
    for (const { url } of await cache.keys()) if (!all.has(url)) await cache.delete(url);
    $("offline-note").textContent = "Works without a network from now on.";
    document.body.dataset.offline = "true";
  } catch (error) {
    $("offline-note").textContent = `Does not work without a network: ${error.message}`;
  }
}

function engineNote() {
  if (!self.isSecureContext)
    return "One thread, no camera, no WebGPU, no use without a network: browsers have those for https and localhost only.";
  const notes = [];
  if (!navigator.gpu) notes.push("WebGPU is not offered by this browser.");
  if (!self.crossOriginIsolated) notes.push("One thread only: the server does not isolate the page (COOP, COEP).");
  return notes.join(" ");
}

/** Find people in what `source` shows now and show both; nothing where another source is on by then. */
async function look(turn, source, width, height) {
  if (!model) throw new Error("There is no model yet. Choose one with “Another model”.");
  if (!width || !height) throw new Error("The picture has no size.");
  const start = performance.now();
  [frame.width, frame.height] = [width, height];
  grab.drawImage(source, 0, 0, width, height);
  const { people, read, run } = await engine.find(grab.getImageData(0, 0, width, height));
  const found = performance.now();
  if (turn !== running) return 0;
  if (people.some(({ keypoints }) => keypoints.length !== model.names.length))
    throw new Error(`The model is damaged: its metadata names ${model.names.length} keypoints, it gives ${people[0].keypoints.length}. Export it again.`);
  last = { people, model };
  show();
  const end = performance.now();
  const total = end - start;
  $("read").textContent = `${(total - run - (end - found)).toFixed(1)} ms`;
  $("run").textContent = `${run.toFixed(1)} ms`;
  $("draw").textContent = `${(end - found).toFixed(1)} ms`;
  $("rate").textContent = (1000 / total).toFixed(1);
  $("save").disabled = false;
  globalThis.rtmpose.result = { width, height, people, names: model.names, ms: { read, run, total } };
  return shown().length;
}

const shown = () => last.people.filter(({ score }) => score >= Number($("sure").value));

function show() {
  const people = shown();
  [view.width, view.height] = [frame.width, frame.height];
  const context = view.getContext("2d");
  context.drawImage(frame, 0, 0);
  drawPeople(context, people, last.model, Number($("least").value));
  $("hint").hidden = true;
  $("people").textContent = String(people.length);
  const count = people.length === 1 ? "1 person" : `${people.length} people`;
  view.setAttribute("aria-label", `Picture with the skeletons of ${count}`);
}

/** End whatever is on; the number of what comes next. */
function halt() {
  running += 1;
  for (const track of stream?.getTracks() ?? []) track.stop();
  stream = undefined;
  video.pause();
  video.removeAttribute("src");
  video.srcObject = null;
  if (address) URL.revokeObjectURL(address);
  address = undefined;
  $("stop").disabled = true;
  return running;
}

/** Until the video has a frame to draw: before its first one it is black. */
const painted = () =>
  new Promise((next) => {
    video.requestVideoFrameCallback?.(next) ?? next();
    for (const event of ["ended", "error"]) video.addEventListener(event, next, { once: true });
  });

async function play(turn, name) {
  const first = painted();
  await video.play();
  await first;
  $("stop").disabled = false;
  say(`Looking at ${name}.`);
  while (turn === running && !video.ended) {
    if (video.error) throw new Error(`${name} is damaged; it was played as far as it can be (${video.error.message}).`);
    await look(turn, video, video.videoWidth, video.videoHeight);
    await new Promise((next) => requestAnimationFrame(next));
  }
  if (turn === running) {
    halt();
    say(`End of ${name}.`);
  }
}

async function openFile(file) {
  const turn = halt();
  if (file.type.startsWith("video/")) {
    address = URL.createObjectURL(file);
    video.src = address;
    await new Promise((ready, failed) => {
      video.onloadeddata = ready;
      video.onerror = () => failed(new Error(`${file.name} is not a video that this browser can play.`));
    });
    await play(turn, file.name);
    return;
  }
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    throw new Error(`${file.name} is not a picture or video that this browser can open.`);
  }
  const count = await look(turn, bitmap, bitmap.width, bitmap.height);
  if (turn !== running) return;
  say(count === 0 ? `Nobody was found in ${file.name}.` : `${count} ${count === 1 ? "person" : "people"} found in ${file.name}.`);
}

async function openCamera() {
  const turn = halt();
  if (!navigator.mediaDevices) throw new Error("Cameras need a secure page: https, or localhost.");
  let given;
  try {
    given = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "user" } });
  } catch (error) {
    const reasons = {
      NotAllowedError: "The camera was refused. Allow it in the browser's settings for this page.",
      NotFoundError: "No camera was found.",
    };
    throw new Error(reasons[error.name] ?? `The camera cannot be opened: ${error.message}`);
  }
  if (turn !== running) {
    // Something else was chosen while the question was open.
    for (const track of given.getTracks()) track.stop();
    return;
  }
  stream = given;
  video.srcObject = stream;
  await play(turn, "the camera");
}

/** Run what a control asks for; an error is shown, and the page goes on. */
function on(target, event, action) {
  target.addEventListener(event, async (given) => {
    complain(null);
    const done = action(given); // a source that begins takes its turn at once
    const turn = running;
    try {
      await done;
    } catch (error) {
      if (turn !== running) return; // it was ended by another
      halt();
      complain(error);
      say("Stopped.");
    }
  });
}

const chosen = async (given, use) => {
  const [file] = given.target.files;
  given.target.value = "";
  if (file) await use(file);
};
on($("file"), "change", (given) => chosen(given, openFile));
on($("camera"), "click", openCamera);
on($("stop"), "click", async () => {
  halt();
  say("Stopped.");
});
on($("artifact"), "change", (given) =>
  chosen(given, async (file) => {
    halt();
    await openModel(new Uint8Array(await file.arrayBuffer()), file.name);
  }),
);
on($("engine"), "change", async () => {
  halt();
  if (bytes) await openModel(bytes, "the model");
});
for (const slider of ["least", "sure"]) {
  on($(slider), "input", async () => {
    $(`${slider}-value`).textContent = $(slider).value;
    if (last) show();
  });
}
on($("save"), "click", async () => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify(globalThis.rtmpose.result, null, 1)]));
  link.download = "keypoints.json";
  link.click();
  URL.revokeObjectURL(link.href);
});
document.addEventListener("dragover", (event) => event.preventDefault());
on(document, "drop", async (event) => {
  event.preventDefault();
  const [file] = event.dataTransfer.files;
  if (file) await openFile(file);
});

$("engine").querySelector("[value=webgpu]").disabled = !navigator.gpu;
$("engine-note").textContent = engineNote();
try {
  const answer = await fetch(MODEL);
  if (!answer.ok) throw new Error(`The server has no model at ${MODEL}. Choose one with “Another model”.`);
  await openModel(new Uint8Array(await answer.arrayBuffer()), "the model");
} catch (error) {
  complain(error);
  say("No model.");
}
performance.mark("ready");
document.body.dataset.ready = String(Boolean(model));
