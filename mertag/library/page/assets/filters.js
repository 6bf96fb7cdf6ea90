// Which songs are shown: search, moods, confidence, one group, and the part of the map that is in view.

const filters = { words: [], moods: [true, true, true, true], least: 0, group: null, inView: false };
const listeners = [];
let haystacks = null; // made at the first search
let visible = new Uint32Array(0);

function onFiltered(listener) {
  listeners.push(listener);
}

function folded(text) {
  return text.toLowerCase().normalize("NFKD").replace(/\p{M}/gu, "");
}

function haystack(i) {
  return folded([titleOf(i), artistOf(i), albumOf(i), genreOf(i), shown(raw.file[i]), raw.ownMood[i] || ""].join("\n"));
}

function decadeOf(i) {
  return year[i] ? `${Math.floor(year[i] / 10) * 10}s` : "";
}

// The groups that a song is in, by kind.
function groupsOf(kind, i) {
  if (kind === "genre") return genreOf(i) ? genreOf(i).split("; ") : [];
  const name = kind === "artist" ? artistOf(i) : decadeOf(i);
  return name ? [name] : [];
}

function passes(i) {
  if (!filters.moods[mood[i]] || confidence[i] < filters.least) return false;
  if (filters.group && !groupsOf(filters.group.kind, i).includes(filters.group.name)) return false;
  return filters.words.every((word) => haystacks[i].includes(word));
}

function applyFilters() {
  if (filters.words.length && !haystacks) haystacks = Array.from({ length: N }, (_, i) => haystack(i));
  const found = new Uint32Array(N);
  let n = 0;
  for (let i = 0; i < N; i++) if (passes(i)) found[n++] = i;
  visible = found.slice(0, n);
  for (const listener of listeners) listener();
}

// The songs of the list: those on the map, or only those of its part that is in view.
function listed() {
  const all = Array.from(visible);
  return filters.inView ? all.filter((i) => isInView(i)) : all;
}

function showGroup(group) {
  filters.group = group;
  byId("group").hidden = !group;
  byId("group-said").textContent = group ? `Only ${group.kind} “${group.name}”` : "";
  applyFilters();
}

function setUpFilters() {
  LABELS.forEach((label, m) => {
    const box = element("input", { type: "checkbox", value: String(m), checked: "" }); // so that a reset checks it
    box.addEventListener("change", () => {
      filters.moods[m] = box.checked;
      applyFilters();
    });
    byId("moods").append(element("label", {}, box, " ", glyph(m), " ", label));
  });
  let waiting = 0;
  byId("search").addEventListener("input", (event) => {
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      filters.words = folded(event.target.value).split(/\s+/).filter(Boolean);
      applyFilters();
    }, 120);
  });
  byId("confidence").addEventListener("input", (event) => {
    filters.least = event.target.value / 100;
    byId("confidence-said").textContent = percent(filters.least);
    applyFilters();
  });
  byId("in-view").addEventListener("change", (event) => {
    filters.inView = event.target.checked;
    applyFilters();
  });
  byId("group-off").addEventListener("click", () => {
    showGroup(null);
    byId("search").focus();
  });
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  byId("clear").addEventListener("click", () => {
    byId("filters").reset();
    byId("confidence-said").textContent = percent(0);
    Object.assign(filters, { words: [], moods: [true, true, true, true], least: 0, inView: false });
    showGroup(null);
  });
}
