// Arithmetic on word maps: the same formulas as hrv/maps/word_maps.py, for one word at a time (docs/formulas.md).

const kernels = new Map();

/** Rows of cubic weights (a = −0.75, pixel centres at half coordinates, edges repeated) from `source` to `target`
 *  samples: for each target four weights, and the four source places they belong to. */
function cubicWeights(source, target) {
  const key = source * 65536 + target;
  if (kernels.has(key)) return kernels.get(key);
  const a = -0.75;
  const near = (x) => ((a + 2) * x - (a + 3)) * x * x + 1;
  const far = (x) => ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
  const weights = new Float32Array(4 * target);
  const places = new Int32Array(4 * target);
  for (let i = 0; i < target; i++) {
    const x = ((i + 0.5) * source) / target - 0.5;
    const left = Math.floor(x);
    const t = x - left;
    weights.set([far(t + 1), near(t), near(1 - t), far(2 - t)], 4 * i);
    for (let k = 0; k < 4; k++) places[4 * i + k] = Math.min(Math.max(left - 1 + k, 0), source - 1);
  }
  if (kernels.size > 32) kernels.clear();
  kernels.set(key, { weights, places });
  return kernels.get(key);
}

/** One map (Float32Array, height × width) at another size, bicubic without clamping, as torch computes it. */
export function enlarge(map, height, width, toHeight, toWidth) {
  if (height === toHeight && width === toWidth) return map;
  const across = cubicWeights(width, toWidth);
  const wide = new Float32Array(height * toWidth);
  for (let y = 0; y < height; y++) {
    const row = y * width;
    for (let x = 0, k = 0; x < toWidth; x++, k += 4) {
      const { weights: w, places: p } = across;
      wide[y * toWidth + x] =
        w[k] * map[row + p[k]] +
        w[k + 1] * map[row + p[k + 1]] +
        w[k + 2] * map[row + p[k + 2]] +
        w[k + 3] * map[row + p[k + 3]];
    }
  }
  const { weights: w, places: p } = cubicWeights(height, toHeight);
  const large = new Float32Array(toHeight * toWidth);
  for (let y = 0, k = 0; y < toHeight; y++, k += 4) {
    const rows = [p[k] * toWidth, p[k + 1] * toWidth, p[k + 2] * toWidth, p[k + 3] * toWidth];
    const [w0, w1, w2, w3] = w.subarray(k, k + 4);
    for (let x = 0; x < toWidth; x++) {
      large[y * toWidth + x] =
        w0 * wide[rows[0] + x] + w1 * wide[rows[1] + x] + w2 * wide[rows[2] + x] + w3 * wide[rows[3] + x];
    }
  }
  return large;
}

/** A map smoothed by a Gaussian of `sigma` grid cells, edges repeated. */
export function smooth(map, height, width, sigma) {
  if (!(sigma > 0)) return map;
  const reach = Math.ceil(3 * sigma);
  const weights = Array.from({ length: 2 * reach + 1 }, (_, i) => Math.exp(-((i - reach) ** 2) / (2 * sigma * sigma)));
  const total = weights.reduce((sum, w) => sum + w, 0);
  const pass = (from, length, lines, step, stride) => {
    const to = new Float32Array(from.length);
    for (let line = 0; line < lines; line++) {
      for (let i = 0; i < length; i++) {
        let sum = 0;
        for (let k = -reach; k <= reach; k++) {
          const place = Math.min(Math.max(i + k, 0), length - 1);
          sum += weights[k + reach] * from[line * stride + place * step];
        }
        to[line * stride + i * step] = sum / total;
      }
    }
    return to;
  };
  return pass(pass(map, width, height, 1, width), height, width, width, 1);
}

/** Lowest and highest value. */
export function range(values) {
  let low = Infinity;
  let high = -Infinity;
  for (let i = 0; i < values.length; i++) {
    if (values[i] < low) low = values[i];
    if (values[i] > high) high = values[i];
  }
  return [low, high];
}

/** The value of a map at (x, y), both from 0 to 1 across the picture: linear between the four nearest cells. */
export function valueAt(map, height, width, x, y) {
  const px = Math.min(Math.max(x * width - 0.5, 0), width - 1);
  const py = Math.min(Math.max(y * height - 0.5, 0), height - 1);
  const left = Math.floor(px);
  const top = Math.floor(py);
  const right = Math.min(left + 1, width - 1);
  const bottom = Math.min(top + 1, height - 1);
  const [fx, fy] = [px - left, py - top];
  const upper = map[top * width + left] * (1 - fx) + map[top * width + right] * fx;
  const lower = map[bottom * width + left] * (1 - fx) + map[bottom * width + right] * fx;
  return upper * (1 - fy) + lower * fy;
}

/** Shares of all words at one point: each word's value divided by the sum; `words` has a map each, or null. */
export function sharesAt(words, height, width, x, y) {
  const values = words.map((map) => (map ? Math.max(0, valueAt(map, height, width, x, y)) : 0));
  const sum = values.reduce((total, value) => total + value, 0);
  return sum > 0 ? values.map((value) => value / sum) : values;
}

/** A map with values from 0 to 1 for showing. "shared": divided by `peak`; "per word": from its lowest to its
 *  highest value, a flat map 0. */
export function normalise(values, how, peak) {
  const [low, high] = how === "shared" ? [0, peak] : range(values);
  const span = high - low;
  const out = new Float32Array(values.length);
  if (!(span > 0)) return out;
  for (let i = 0; i < values.length; i++) out[i] = Math.min(Math.max((values[i] - low) / span, 0), 1);
  return out;
}
