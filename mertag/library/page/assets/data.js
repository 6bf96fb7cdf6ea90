// The songs, as columns of the JSON in the page; how they are named, and where their files are.

const raw = JSON.parse(document.getElementById("data").textContent);
const N = raw.n;
const LABELS = raw.labels;
const GLYPHS = ["▲", "■", "●", "◆"]; // so that colour is never all that tells moods apart

function bytesOf(text) {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

function integers(text, Kind) {
  const bytes = bytesOf(text); // little-endian
  const view = new DataView(bytes.buffer);
  const size = Kind.BYTES_PER_ELEMENT;
  const found = new Kind(bytes.length / size);
  for (let i = 0; i < found.length; i++) {
    found[i] = size === 1 ? view.getUint8(i) : size === 2 ? view.getUint16(2 * i, true) : view.getUint32(4 * i, true);
  }
  return found;
}

function probabilities(text) {
  return Float32Array.from(integers(text, Uint16Array), (step) => step / raw.steps);
}

function names(column) {
  return { names: column.names, of: integers(column.of, Uint32Array) };
}

const mood = integers(raw.mood, Uint8Array);
const valence = probabilities(raw.valence);
const arousal = probabilities(raw.arousal);
const confidence = probabilities(raw.confidence);
const seconds = integers(raw.seconds, Uint16Array);
const year = integers(raw.year, Uint16Array);
const folder = names(raw.folder);
const artist = names(raw.artist);
const album = names(raw.album);
const genre = names(raw.genre);

const courseLength = integers(raw.courseLength, Uint8Array);
const courses = bytesOf(raw.course);
const courseStart = new Uint32Array(N + 1);
for (let i = 0; i < N; i++) courseStart[i + 1] = courseStart[i] + courseLength[i];

// Valence and arousal of equal parts of a song; null where it is silent. null if nothing is known over time.
function courseOf(i) {
  const bytes = courses.subarray(courseStart[i], courseStart[i + 1]);
  if (!bytes.length) return null;
  const side = (offset) => {
    const values = [];
    for (let k = offset; k < bytes.length; k += 2) values.push(bytes[k] === 255 ? null : bytes[k] / 250);
    return values;
  };
  return { valence: side(0), arousal: side(1) };
}

// A byte of a file name that is not UTF-8 is a lone surrogate here; shown, it becomes the replacement character.
function shown(text) {
  return text.toWellFormed ? text.toWellFormed() : text.replace(/[\uD800-\uDFFF]/gu, "\uFFFD");
}

function titleOf(i) {
  return raw.title[i] || shown(raw.file[i]).replace(/\.[^.]*$/, "") || shown(raw.file[i]);
}

function artistOf(i) {
  return artist.names[artist.of[i]];
}

function albumOf(i) {
  return album.names[album.of[i]];
}

function genreOf(i) {
  return genre.names[genre.of[i]];
}

function pathOf(i) {
  return folder.names[folder.of[i]] + raw.file[i];
}

function nameOf(i) {
  return artistOf(i) ? `${artistOf(i)} – ${titleOf(i)}` : titleOf(i);
}

function percent(value) {
  return `${Math.round(100 * value)} %`;
}

// The bytes of a path, as the file system has them.
function pathBytes(path) {
  const encoder = new TextEncoder();
  const parts = [];
  for (const character of path) {
    const code = character.codePointAt(0);
    parts.push(code >= 0xdc80 && code <= 0xdcff ? Uint8Array.of(code - 0xdc00) : encoder.encode(character));
  }
  return parts;
}

function fileUrl(i) {
  let url = "";
  for (const bytes of pathBytes(pathOf(i).replaceAll("\\", "/"))) {
    for (const byte of bytes) {
      const character = String.fromCharCode(byte);
      url += /[A-Za-z0-9/._~:-]/.test(character) ? character : "%" + byte.toString(16).toUpperCase().padStart(2, "0");
    }
  }
  return url.startsWith("/") ? `file://${url}` : `file:///${url}`;
}

// An element with attributes and children; text is always text.
function element(kind, attributes, ...children) {
  const made = document.createElement(kind);
  for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function glyph(m) {
  return element("span", { class: `glyph q${m}`, "aria-hidden": "true" }, GLYPHS[m]);
}

function byId(id) {
  return document.getElementById(id);
}
