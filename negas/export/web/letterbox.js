// A picture of any size as the network takes it: negas/runtime/letterbox.py, number for number.

const f32 = Math.fround;

function evenly(value) {
  const down = Math.floor(value);
  const rest = value - down;
  return rest > 0.5 || (rest === 0.5 && down % 2) ? down + 1 : down;
}

const WHOLE = { down: Math.floor, half_up: (side) => Math.floor(side + 0.5), half_even: evenly };

// Where a picture of a size [width, height] goes.
export function placeOf(box, size) {
  let ratio = Math.min(box.fit[0] / size[0], box.fit[1] / size[1]);
  if (!box.scale_up) ratio = Math.min(ratio, 1);
  const scaled = size.map((side) => Math.max(WHOLE[box.rounding](side * ratio), 1));
  const [left, top] = box.size.map((full, i) =>
    box.center ? Math.floor((full - scaled[i]) / 2) : 0
  );
  return { size, scaled, left, top };
}

// The network's input, RGB [3, h, w], from RGBA of a canvas.
export function fill(box, place, { data }) {
  const [width, height] = box.size;
  const [across, down] = place.scaled;
  const shrinks = place.scaled.every((side, i) => side <= place.size[i]);
  const along = box.shrink === "area" && shrinks ? byArea : byFour;
  const pixels = new Uint8Array(3 * width * height);
  for (let channel = 0; channel < 3; channel++) {
    let plane = Float64Array.from({ length: data.length / 4 }, (_, i) => data[4 * i + channel]);
    if (place.scaled.some((side, i) => side !== place.size[i])) {
      const [w, h] = place.size;
      plane = along(plane, h, down, w, 1, w); // rows first
      plane = along(plane, w, across, 1, w, down);
    }
    const start = channel * width * height;
    pixels.fill(box.fill[channel], start, start + width * height);
    for (let y = 0; y < down; y++) {
      const row = start + (y + place.top) * width + place.left;
      for (let x = 0; x < across; x++) pixels[row + x] = evenly(plane[y * across + x]);
    }
  }
  return pixels;
}

// Along one axis of `before` places that lie `step` apart, `lines` times, `next` apart. The result
// has the same order of axes: of rows, lines are columns; of columns, rows.
function each(before, after, step, next, lines, job) {
  const out = new Float64Array(after * lines);
  const [outStep, outNext] = step === 1 ? [1, after] : [lines, 1];
  for (let line = 0; line < lines; line++) job(out, line * next, line * outNext, outStep);
  return out;
}

// Between the two nearest ones, in float32 as there.
function byFour(plane, before, after, step, next, lines) {
  const places = Array.from({ length: after }, (_, i) => (i + 0.5) * (before / after) - 0.5);
  const firsts = places.map(Math.floor);
  const inside = (i) => Math.min(Math.max(i, 0), before - 1);
  return each(before, after, step, next, lines, (out, start, outStart, outStep) => {
    for (let i = 0; i < after; i++) {
      const part = f32(places[i] - firsts[i]);
      const low = plane[start + inside(firsts[i]) * step];
      const high = plane[start + inside(firsts[i] + 1) * step];
      out[outStart + i * outStep] = f32(f32(low * f32(1 - part)) + f32(high * part));
    }
  });
}

// Means of those that fall into each new one, parts included.
function byArea(plane, before, after, step, next, lines) {
  const ends = Array.from({ length: after + 1 }, (_, i) => i * (before / after));
  const whole = ends.map((end) => Math.min(Math.trunc(end), before - 1));
  const below = new Float64Array(before + 1);
  return each(before, after, step, next, lines, (out, start, outStart, outStep) => {
    for (let i = 0; i < before; i++) below[i + 1] = below[i] + plane[start + i * step];
    const sums = ends.map(
      (end, i) => below[whole[i]] + (end - whole[i]) * plane[start + whole[i] * step]
    );
    for (let i = 0; i < after; i++) {
      out[outStart + i * outStep] = (sums[i + 1] - sums[i]) * (after / before);
    }
  });
}

// A box [x1, y1, x2, y2] of the network's input, in pixels of the picture.
export function restore(place, box) {
  return Array.from(box, (value, i) => {
    const axis = i % 2;
    const ratio = f32(place.scaled[axis] / place.size[axis]);
    const moved = f32(f32(value - [place.left, place.top][axis]) / ratio);
    return Math.min(Math.max(moved, 0), place.size[axis]);
  });
}
