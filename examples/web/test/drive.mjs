// Drives the page in headless Chromium and prints what it did as JSON; tests/web/test_web.py judges it.
//   node drive.mjs CHROMIUM URL FOLDER
// FOLDER has photo.png, grey.png, broken.png, empty.png, film.webm, damaged.webm, camera.y4m, pose.onnx, cut.onnx, odd.onnx,
// text.onnx, far.onnx, more.onnx; screenshots and the frames that people were found in are written there.
import { writeFileSync } from "node:fs";
import { chromium } from "playwright-core";

const [executablePath, url, folder] = process.argv.slice(2);
const common = ["--no-sandbox", "--disable-gpu"];
const report = { requests: [], console: [] };
const sizes = new Map(); // bytes of every answer, once

async function open(browser, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1180, height: 760 }, ...options });
  const page = await context.newPage();
  page.on("request", (request) => report.requests.push(request.url()));
  page.on("response", (answer) => sizes.set(answer.url(), Number(answer.headers()["content-length"] ?? 0)));
  page.on("console", (message) => message.type() === "error" && report.console.push(message.text()));
  page.on("pageerror", (error) => report.console.push(String(error)));
  return [context, page];
}
const ready = (page) => page.waitForSelector("body[data-ready]", { timeout: 60000 });
const error = async (page) => {
  await page.waitForSelector("#error:not([hidden])", { timeout: 20000 });
  return page.textContent("#error");
};
async function result(page, input, file) {
  await page.evaluate(() => (globalThis.rtmpose.result = null));
  await page.setInputFiles(input, `${folder}/${file}`);
  const handle = await page.waitForFunction(() => globalThis.rtmpose.result, null, { timeout: 60000, polling: 20 });
  return handle.jsonValue();
}

async function keepFrame(page, file) {
  const address = await page.evaluate(() => globalThis.rtmpose.frame.toDataURL("image/png"));
  writeFileSync(`${folder}/${file}`, Buffer.from(address.split(",")[1], "base64"));
}

const browser = await chromium.launch({ executablePath, args: common });
{
  const [context, page] = await open(browser);
  const start = Date.now();
  await page.goto(url);
  await ready(page);
  report.readyMs = Date.now() - start;
  report.loaded = await page.textContent("#status");
  report.photo = await result(page, "#file", "photo.png");
  report.firstMs = Date.now() - start;
  report.bytes = [...sizes.values()].reduce((sum, size) => sum + size, 0);
  report.threads = await page.textContent("#engine-note");
  report.photoLabel = await page.getAttribute("#view", "aria-label");
  await page.screenshot({ path: `${folder}/light.png` });
  await page.emulateMedia({ colorScheme: "dark" });
  await page.screenshot({ path: `${folder}/dark.png` });
  await page.setViewportSize({ width: 390, height: 1100 });
  await page.screenshot({ path: `${folder}/phone.png` });
  report.wide = await page.evaluate(() => document.documentElement.scrollWidth);
  report.again = (await result(page, "#file", "photo.png")).ms;
  report.grey = await result(page, "#file", "grey.png");
  report.greyStatus = await page.textContent("#status");
  await page.setInputFiles("#file", `${folder}/broken.png`);
  report.brokenPicture = await error(page);
  await page.setInputFiles("#file", `${folder}/empty.png`);
  await page.waitForFunction(() => document.querySelector("#error").textContent.includes("empty"));
  report.emptyPicture = await error(page);
  await page.setInputFiles("#artifact", `${folder}/odd.onnx`);
  await page.waitForFunction(() => document.querySelector("#error").textContent.includes("odd"));
  report.oddModel = await error(page);
  report.afterOddModel = (await result(page, "#file", "photo.png")).people.length;
  await page.setInputFiles("#artifact", `${folder}/cut.onnx`);
  await page.waitForFunction(() => document.querySelector("#error").textContent.includes("model"));
  report.cutModel = await error(page);
  await page.setInputFiles("#artifact", `${folder}/pose.onnx`);
  await page.waitForFunction(() => document.querySelector("#error").textContent.includes("pose"));
  report.poseModel = await error(page);
  report.afterErrors = (await result(page, "#file", "photo.png")).people.length;
  report.filmFirst = (await result(page, "#file", "film.webm")).people.length;
  await page.waitForFunction(() => document.querySelector("#status").textContent.startsWith("End of"));
  report.film = await page.evaluate(() => globalThis.rtmpose.result);
  await keepFrame(page, "film-frame.png");
  await page.setInputFiles("#file", `${folder}/damaged.webm`);
  report.damagedFilm = await error(page);
  await page.click("#camera");
  report.refusedCamera = await error(page);
  // Every control is reached by the keyboard and has a name.
  report.unnamed = await page.evaluate(() =>
    [...document.querySelectorAll("button, select, input")]
      .filter((e) => !(e.textContent.trim() || e.labels?.length || e.getAttribute("aria-label")))
      .map((e) => e.id),
  );
  report.focused = [];
  await page.evaluate(() => document.activeElement.blur());
  for (let i = 0; i < 9; i++) {
    await page.keyboard.press("Tab");
    report.focused.push(await page.evaluate(() => document.activeElement.id));
  }
  // Metadata that are none, then another skeleton: what is shown keeps the one that it was found with.
  for (const name of ["text", "far"]) {
    await page.setInputFiles("#artifact", `${folder}/${name}.onnx`);
    await page.waitForFunction((given) => document.querySelector("#error").textContent.includes(given), name === "text" ? "no skeleton that" : "no names");
    report[name] = await error(page);
  }
  report.beforeMore = (await result(page, "#file", "photo.png")).people.length;
  await page.setInputFiles("#artifact", `${folder}/more.onnx`);
  await page.waitForFunction(() => document.querySelector("#status").textContent.startsWith("Ready: more.onnx"));
  await page.focus("#least");
  await page.keyboard.press("ArrowLeft");
  await page.waitForTimeout(200);
  report.sliderAfterMore = await page.textContent("#error");
  await page.setInputFiles("#file", `${folder}/photo.png`);
  report.more = await error(page);
  // A second visit without the network.
  await page.waitForSelector("body[data-offline]");
  await page.evaluate(() => navigator.serviceWorker.ready);
  await context.setOffline(true);
  await page.reload();
  await ready(page);
  report.offline = (await result(page, "#file", "photo.png")).people.length;
  await context.close();
}
await browser.close();

// A part of the page that does not arrive.
const parted = await chromium.launch({ executablePath, args: common });
{
  const [context, page] = await open(parted);
  await page.route("**/worker*", (route) => route.abort());
  await page.goto(url);
  await ready(page);
  report.noWorker = await error(page);
  await context.close();
}
await parted.close();

// The page of another machine, without https.
const elsewhere = await chromium.launch({ executablePath, args: [...common, "--host-resolver-rules=MAP page.test 127.0.0.1"] });
{
  const [context, page] = await open(elsewhere);
  const address = new URL(url);
  address.hostname = "page.test";
  report.elsewhere = address.href;
  await page.goto(address.href);
  await ready(page);
  report.insecure = await page.textContent("#engine-note");
  await context.close();
}
await elsewhere.close();

const filmed = await chromium.launch({
  executablePath,
  args: [
    ...common,
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    `--use-file-for-fake-video-capture=${folder}/camera.y4m`,
  ],
});
{
  const [context, page] = await open(filmed);
  await page.goto(url);
  await ready(page);
  await page.click("#camera");
  const found = await page.waitForFunction(() => globalThis.rtmpose.result?.people.length && globalThis.rtmpose.result, null, {
    timeout: 60000,
  });
  report.camera = await found.jsonValue();
  await page.click("#stop");
  report.stopped = await page.textContent("#status");
  await keepFrame(page, "camera-frame.png"); // all frames of that film are one
  // Two clicks and a picture: whatever came last is on, and nothing else is.
  await page.evaluate(() => {
    document.querySelector("#camera").click();
    document.querySelector("#camera").click();
  });
  report.afterCamera = await result(page, "#file", "photo.png");
  await page.waitForTimeout(1000);
  report.stillPhoto = await page.evaluate(() => globalThis.rtmpose.result.width);
  report.liveTracks = await page.evaluate(() => document.querySelector("#video").srcObject?.getTracks().length ?? 0);
  await context.close();
}
await filmed.close();
console.log(JSON.stringify(report));
