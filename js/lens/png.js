// A picture of the shown maps, with their data inside the file.

const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n;
});

function crc32(data) {
  let crc = 0xffffffff;
  for (const byte of data) crc = TABLE[(crc ^ byte) & 255] ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

/** PNG bytes with one more text chunk (iTXt, UTF-8, not compressed) before the end. */
export function withText(png, keyword, text) {
  const body = new TextEncoder().encode(`iTXt${keyword}\0\0\0\0\0${text}`);
  const chunk = new Uint8Array(body.length + 8);
  const view = new DataView(chunk.buffer);
  view.setUint32(0, body.length - 4);
  chunk.set(body, 4);
  view.setUint32(4 + body.length, crc32(body));
  const end = png.length - 12; // IEND is the last chunk, and empty
  const out = new Uint8Array(png.length + chunk.length);
  out.set(png.subarray(0, end), 0);
  out.set(chunk, end);
  out.set(png.subarray(end), end + chunk.length);
  return out;
}

/** tiles: [{draw(context, width, height), title, note}], all of one size (height, width). Returns a canvas with all of
 *  them in a grid, each above its title. */
export function grid(tiles, [height, width]) {
  const side = Math.min(512, Math.max(256, Math.round(2400 / Math.ceil(Math.sqrt(tiles.length)))));
  const scale = side / Math.max(height, width);
  const [tileHeight, tileWidth] = [Math.round(height * scale), Math.round(width * scale)];
  const columns = Math.ceil(Math.sqrt(tiles.length));
  const rows = Math.ceil(tiles.length / columns);
  const [gap, strip] = [12, 46];
  const canvas = document.createElement("canvas");
  canvas.width = gap + columns * (tileWidth + gap);
  canvas.height = gap + rows * (tileHeight + strip + gap);
  const context = canvas.getContext("2d");
  context.fillStyle = "#fafafa";
  context.fillRect(0, 0, canvas.width, canvas.height);
  tiles.forEach((tile, i) => {
    const x = gap + (i % columns) * (tileWidth + gap);
    const y = gap + Math.floor(i / columns) * (tileHeight + strip + gap);
    context.save();
    context.translate(x, y);
    tile.draw(context, tileWidth, tileHeight);
    context.restore();
    context.fillStyle = "#18181b";
    context.font = "600 17px sans-serif";
    context.fillText(tile.title, x, y + tileHeight + 20, tileWidth);
    context.fillStyle = "#606068";
    context.font = "13px sans-serif";
    context.fillText(tile.note, x, y + tileHeight + 39, tileWidth);
  });
  return canvas;
}

/** Hands a file to the browser's downloads. */
export function download(data, name) {
  const address = URL.createObjectURL(new Blob([data], { type: "image/png" }));
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
