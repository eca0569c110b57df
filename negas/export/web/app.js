// The page: an image and words in, boxes with verdicts out.

import { Detector } from "./detector.js";

const at = (id) => document.getElementById(id);
const COLOURS = { true: "#1b963c", false: "#d71928", null: "#1f6fb4" }; // as in painted images
const SIDE = [480, 1600]; // pixels of the longer side that is painted
let detector, bitmap, rows = [], objects = [];

// One after the other; what goes wrong is said.
let queue = Promise.resolve();
function doing(what, job) {
  queue = queue.then(async () => {
    document.body.dataset.state = "busy";
    at("status").textContent = `${what} ...`;
    at("error").textContent = "";
    try {
      await job();
    } catch (error) {
      at("error").textContent = error.message;
    }
    show();
    document.body.dataset.state = "ready";
  });
}

const lines = (id) => at(id).value.split("\n").map((word) => word.trim()).filter(Boolean);

function showWords() {
  at("classes").value = detector.classes.join("\n");
  at("negatives").value = detector.negatives.join("\n");
  at("negatives").disabled = !detector.negatives.length;
}

async function pixels() {
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  return context.getImageData(0, 0, bitmap.width, bitmap.height);
}

async function detect() {
  if (bitmap) ({ rows, objects } = await detector.detect(await pixels()));
}

function take(file) {
  if (!file) return;
  doing("looking at the image", async () => {
    try { // colours as they are in the file
      bitmap = await createImageBitmap(file, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
    } catch {
      throw new Error(`${file.name}: no picture that this browser can read`);
    }
    await detect();
  });
}

function show() {
  if (!detector) {
    at("status").textContent = "";
    return;
  }
  const { tau, about } = detector;
  const values = [...rows.map((row) => row.idScore), about.tau ?? 0];
  const margin = (Math.max(...values) - Math.min(...values)) / 20 || 0.5;
  const low = Math.min(...values) - margin;
  const slider = at("tau");
  slider.min = Math.min(low, tau ?? low);
  slider.max = Math.max(Math.max(...values) + margin, tau ?? low);
  slider.value = tau ?? low;
  slider.setAttribute("aria-valuetext", tau === null ? "none" : tau.toFixed(4));
  if (document.activeElement !== at("tau-number")) at("tau-number").value = tau ?? "";
  at("own-tau").disabled = about.tau === null || detector.texts !== detector.own;
  at("rule").textContent = tau === null
    ? "No tau for these words yet, so no verdict: move the slider."
    : `A box is known if its id_score (${about.score}) is at least tau.`;
  const verdicts = rows.map((row) => detector.verdict(row));
  const count = (verdict) => verdicts.filter((one) => one === verdict).length;
  const boxes = `${rows.length} box${rows.length === 1 ? "" : "es"}`;
  const judged = tau === null ? "no verdict" : `${count(true)} known, ${count(false)} unknown`;
  const shown = detector.over(objects);
  const more = shown.length ? `; ${shown.length} unknown object${shown.length === 1 ? "" : "s"}` : "";
  at("status").textContent = bitmap ? `${boxes}: ${judged}${more}` : "ready: give it an image";
  showThreshold();
  fillTable(verdicts, shown);
  paint(verdicts, shown);
}

// Unknown objects have a threshold for the detector's own words only.
function showThreshold() {
  const value = detector.unknownThr;
  at("unknown").hidden = value === null;
  if (value === null) return;
  at("unknown-thr").min = detector.about.unknown.score_thr;
  at("unknown-thr").value = value;
  at("unknown-thr").setAttribute("aria-valuetext", value.toFixed(4));
  at("unknown-shown").textContent = value.toFixed(4);
}

function fillTable(verdicts, shown) {
  at("boxes").hidden = !rows.length && !shown.length;
  const number = (value) => (value === null ? "-" : value.toFixed(3));
  const lineOf = (row, kind, verdict, name, idScore, confidence) => {
    const line = document.createElement("tr");
    const cells = [name, verdict, number(idScore), number(confidence), row.like ?? "-", number(row.likeScore)];
    for (const text of cells) line.insertCell().textContent = text;
    if (verdict !== "-") line.cells[1].className = verdict === "known" ? "known" : "unknown";
    line.dataset[kind] = JSON.stringify(row);
    return line;
  };
  at("boxes").tBodies[0].replaceChildren(
    ...rows.map((row, i) => {
      const verdict = { true: "known", false: "unknown", null: "-" }[verdicts[i]];
      return lineOf(row, "row", verdict, row.name, row.idScore, row.confidence);
    }),
    ...shown.map((row) => lineOf(row, "object", "unknown object", "-", null, row.score))
  );
}

function paint(verdicts, shown) {
  const canvas = at("picture");
  canvas.hidden = !bitmap;
  if (!bitmap) return;
  const side = Math.max(bitmap.width, bitmap.height);
  const scale = Math.min(Math.max(side, SIDE[0]), SIDE[1]) / side;
  [canvas.width, canvas.height] = [bitmap.width * scale, bitmap.height * scale];
  const context = canvas.getContext("2d");
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  const unit = Math.max(canvas.width, canvas.height) / 480;
  context.font = `${15 * unit}px system-ui, sans-serif`;
  context.textBaseline = "middle";
  const order = rows.map((_, i) => i).sort((a, b) => Number(verdicts[b] ?? 0) - Number(verdicts[a] ?? 0));
  const draw = (box, colour, line, dash, text) => {
    const [left, top, right, bottom] = box.map((value) => value * scale);
    context.setLineDash(dash.map((length) => length * unit));
    if (!dash.length && line > 2) { // red is seen on red, too
      context.strokeStyle = "white";
      context.lineWidth = (line + 2) * unit;
      context.strokeRect(left, top, right - left, bottom - top);
    }
    context.strokeStyle = context.fillStyle = colour;
    context.lineWidth = line * unit;
    context.strokeRect(left, top, right - left, bottom - top);
    const [width, height] = [context.measureText(text).width + 6 * unit, 19 * unit];
    const x = Math.max(Math.min(left, canvas.width - width), 0);
    const y = top >= height ? top - height : top;
    context.fillRect(x, y, width, height);
    context.fillStyle = "white";
    context.fillText(text, x + 3 * unit, y + height / 2);
  };
  for (const i of order) { // unknown ones last, over the others
    const [line, dash] = verdicts[i] === false ? [3, [9, 5]] : [2, []];
    const text = `${rows[i].name} ${rows[i].idScore.toFixed(2)}`;
    draw(rows[i].box, COLOURS[verdicts[i]], line, dash, text);
  }
  for (const { box, like, score } of shown) {
    draw(box, COLOURS.false, 3, [], `unknown: ${like} ${score.toFixed(2)}`);
  }
}

function setTau(value) {
  if (Number.isFinite(value)) {
    detector.tau = value;
    show();
  }
}

at("file").addEventListener("change", () => take(at("file").files[0]));
at("words").addEventListener("submit", (event) => {
  event.preventDefault();
  doing("reading the words", async () => {
    await detector.useWords(lines("classes"), lines("negatives"));
    await detect();
  });
});
at("own").addEventListener("click", () => {
  doing("reading the words", async () => {
    detector.useOwnWords();
    showWords();
    await detect();
  });
});
at("tau").addEventListener("input", () => setTau(at("tau").valueAsNumber));
at("tau-number").addEventListener("input", () => setTau(at("tau-number").valueAsNumber));
at("unknown-thr").addEventListener("input", () => {
  detector.unknownThr = at("unknown-thr").valueAsNumber;
  show();
});
at("own-tau").addEventListener("click", () => setTau(detector.about.tau));
for (const name of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault(); // or the browser would leave the page for the image
    at("drop").classList.toggle("over", name === "dragover");
    if (name === "drop") take(event.dataTransfer.files[0]);
  });
}

doing("loading the detector", async () => {
  try {
    detector = await Detector.load();
  } finally {
    for (const one of document.querySelectorAll("input, button, textarea")) one.disabled = !detector;
  }
  const { class_names, neg_labels, score, letterbox } = detector.about;
  at("about").textContent = `${detector.about.detector}: ${class_names.length} known names, ${neg_labels.length} negatives, score ${score}, ${letterbox.size.join("x")} pixels.`;
  showWords();
});
