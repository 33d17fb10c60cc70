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
let last; // people in the frame that is shown
let running = 0; // number of the source that is on; a later one ends an earlier one
let stream;

// For programs that look at this page: what was found last.
globalThis.rtmpose = { result: null };

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
  const { loaded } = await engine.open(content, chosen, threads);
  [model, bytes] = [description, content];
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
  await navigator.serviceWorker.register("sw.js");
  const cache = await caches.open("rtmpose-1");
  const own = performance.getEntriesByType("resource").map((entry) => entry.name);
  const all = [location.href, ...own, ...loaded].filter((url) => url.startsWith(location.origin));
  await cache.addAll([...new Set(all)]);
  document.body.dataset.offline = "true";
}

function engineNote() {
  const notes = [];
  if (!navigator.gpu) notes.push("WebGPU is not offered by this browser.");
  if (!self.crossOriginIsolated) notes.push("One thread only: the server does not isolate the page (COOP, COEP).");
  return notes.join(" ");
}

/** Find people in what `source` shows now and show both. */
async function look(source, width, height) {
  if (!model) throw new Error("There is no model yet. Choose one with “Another model”.");
  if (!width || !height) throw new Error("The picture has no size.");
  const start = performance.now();
  [frame.width, frame.height] = [width, height];
  grab.drawImage(source, 0, 0, width, height);
  const { people, read, run } = await engine.find(grab.getImageData(0, 0, width, height));
  const found = performance.now();
  last = people;
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

const shown = () => last.filter(({ score }) => score >= Number($("sure").value));

function show() {
  const people = shown();
  [view.width, view.height] = [frame.width, frame.height];
  const context = view.getContext("2d");
  context.drawImage(frame, 0, 0);
  drawPeople(context, people, model, Number($("least").value));
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
  $("stop").disabled = true;
  return running;
}

async function play(turn, name) {
  await video.play();
  $("stop").disabled = false;
  say(`Looking at ${name}.`);
  while (turn === running && !video.ended) {
    await look(video, video.videoWidth, video.videoHeight);
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
    video.src = URL.createObjectURL(file);
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
  const count = await look(bitmap, bitmap.width, bitmap.height);
  say(count === 0 ? `Nobody was found in ${file.name}.` : `${count} ${count === 1 ? "person" : "people"} found in ${file.name}.`);
}

async function openCamera() {
  const turn = halt();
  if (!navigator.mediaDevices) throw new Error("Cameras need a secure page: https, or localhost.");
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "user" } });
  } catch (error) {
    const reasons = {
      NotAllowedError: "The camera was refused. Allow it in the browser's settings for this page.",
      NotFoundError: "No camera was found.",
    };
    throw new Error(reasons[error.name] ?? `The camera cannot be opened: ${error.message}`);
  }
  video.srcObject = stream;
  await play(turn, "the camera");
}

/** Run what a control asks for; an error is shown, and the page goes on. */
function on(target, event, action) {
  $(target).addEventListener(event, async (given) => {
    complain(null);
    try {
      await action(given);
    } catch (error) {
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
on("file", "change", (given) => chosen(given, openFile));
on("camera", "click", openCamera);
on("stop", "click", () => {
  halt();
  say("Stopped.");
});
on("artifact", "change", (given) =>
  chosen(given, async (file) => {
    halt();
    await openModel(new Uint8Array(await file.arrayBuffer()), file.name);
  }),
);
on("engine", "change", () => openModel(bytes, "the model"));
for (const slider of ["least", "sure"]) {
  on(slider, "input", () => {
    $(`${slider}-value`).textContent = $(slider).value;
    if (last) show();
  });
}
on("save", "click", () => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify(globalThis.rtmpose.result, null, 1)]));
  link.download = "keypoints.json";
  link.click();
  URL.revokeObjectURL(link.href);
});
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  const [file] = event.dataTransfer.files;
  if (file) openFile(file).catch(complain);
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
