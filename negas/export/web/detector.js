// An exported detector of the mode `open` in onnxruntime-web: negas/runtime/detector.py.

import * as ort from "./onnxruntime/ort.wasm.bundle.min.mjs";
import { fill, placeOf, restore } from "./letterbox.js";
import { Tokenizer } from "./tokenizer.js";

ort.env.wasm.numThreads = 1; // more would need headers of the server
ort.env.wasm.wasmPaths = { wasm: new URL("onnxruntime/ort-wasm-simd-threaded.wasm", import.meta.url).href };
ort.env.logLevel = "error";
const OPTIONS = { executionProviders: ["wasm"], logSeverityLevel: 3 };
const ARRAYS = { float32: Float32Array, bool: Uint8Array };

async function fetched(name, kind) {
  const answer = await fetch(new URL(name, import.meta.url));
  if (!answer.ok) throw new Error(`${name} is not beside the page (${answer.status})`);
  return answer[kind]();
}

async function session(name) {
  return ort.InferenceSession.create(await fetched(name, "arrayBuffer"), OPTIONS);
}

function tensor({ type, dims, data }) {
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  return new ort.Tensor(type, new ARRAYS[type](bytes.buffer), dims);
}

export class Detector {
  static async load() {
    const one = new Detector();
    const { about, texts, length } = await fetched("detector.json", "json");
    Object.assign(one, { about, length });
    one.own = Object.fromEntries(Object.entries(texts).map(([name, text]) => [name, tensor(text)]));
    one.session = await session("model.onnx");
    one.useOwnWords();
    return one;
  }

  useOwnWords() {
    this.texts = this.own;
    this.classes = this.about.class_names;
    this.negatives = this.about.neg_labels;
    this.tau = this.about.tau;
    this.unknownThr = this.about.unknown?.score_thr ?? null; // null: no unknown objects
  }

  // Other words; tau and the threshold of unknown objects were fitted for those before and go.
  async useWords(classes, negatives) {
    const same = (some, own) => some.join("\n") === own.join("\n");
    if (same(classes, this.about.class_names) && same(negatives, this.about.neg_labels)) {
      this.useOwnWords();
      return;
    }
    if (!classes.length) throw new Error("no known names; give at least one");
    if (Boolean(negatives.length) !== Boolean(this.about.neg_labels.length)) {
      const needs = negatives.length ? "was made without" : "needs";
      throw new Error(`the detector ${needs} negatives; give words accordingly`);
    }
    const texts = { ...this.own, id_embeddings: await this.encoded(classes) };
    if (negatives.length) texts.neg_embeddings = await this.encoded(negatives);
    Object.assign(this, { texts, classes, negatives, tau: null, unknownThr: null });
  }

  async encoded(words) {
    this.tokenizer ??= new Tokenizer(await fetched("model.tokenizer.json", "json"));
    this.encoder ??= await session("model.text.onnx");
    const ids = new BigInt64Array(words.length * this.length);
    const mask = new BigInt64Array(ids.length);
    words.forEach((word, row) => {
      const found = this.tokenizer.encode(this.about.template.replaceAll("{}", () => word));
      if (found.length > this.length) {
        throw new Error(`"${word}" needs ${found.length} tokens, the text encoder takes ${this.length}; shorten it`);
      }
      found.forEach((id, i) => {
        ids[row * this.length + i] = BigInt(id);
        mask[row * this.length + i] = 1n;
      });
    });
    const dims = [words.length, this.length];
    const given = { input_ids: new ort.Tensor("int64", ids, dims), attention_mask: new ort.Tensor("int64", mask, dims) };
    return (await this.encoder.run(given)).embeddings;
  }

  // Boxes of an ImageData over the file's confidence cut, by falling confidence, and its unknown
  // objects by falling score.
  async detect(image) {
    const box = this.about.letterbox;
    const place = placeOf(box, [image.width, image.height]);
    const [width, height] = box.size;
    const images = new ort.Tensor("uint8", fill(box, place, image), [1, 3, height, width]);
    const given = { images, ...this.texts };
    if (given.places) {
      const where = [place.left, place.top, ...place.scaled, ...place.size];
      given.places = new ort.Tensor("float32", Float32Array.from(where), [1, 6]);
    }
    const found = await this.session.run(given);
    const rows = [];
    found.labels.data.forEach((label, i) => {
      if (label < 0n || found.scores.data[i] < Math.fround(this.about.score_thr)) return;
      const like = found.unknown_like?.data[i];
      rows.push({
        box: restore(place, found.boxes.data.subarray(4 * i, 4 * i + 4)),
        name: this.classes[label],
        confidence: found.scores.data[i],
        idScore: found.id_scores.data[i],
        known: found.known && Boolean(found.known.data[i]), // at the file's own tau
        like: like === undefined ? null : this.negatives[like],
        likeScore: like === undefined ? null : found.unknown_like_score.data[i],
      });
    });
    return { rows, objects: this.objectsOf(found, place) };
  }

  objectsOf(found, place) {
    const objects = [];
    found.object_mask?.data.forEach((used, i) => {
      if (!used) return;
      objects.push({
        box: restore(place, found.object_boxes.data.subarray(4 * i, 4 * i + 4)),
        score: found.object_scores.data[i],
        like: this.about.unknown.words[found.object_like.data[i]],
        likeScore: found.object_like_score.data[i],
      });
    });
    return objects;
  }

  // The objects that are shown.
  over(objects) {
    const least = this.unknownThr ?? Infinity;
    return objects.filter(({ score }) => score >= Math.fround(least));
  }

  // Whether a box is known at tau; null: there is no verdict.
  verdict(row) {
    if (this.tau === null) return null;
    const own = this.tau === this.about.tau && row.known !== undefined;
    return own ? row.known : row.idScore >= Math.fround(this.tau);
  }
}
