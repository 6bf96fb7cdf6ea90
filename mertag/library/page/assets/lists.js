// The lists: songs in an order, bars by genre, artist and decade, what is to be judged, and the playlist that is saved.

const PAGE = 50;
const MOST_BARS = 12;
const ORDERS = {
  sure: (a, b) => confidence[b] - confidence[a],
  unsure: (a, b) => confidence[a] - confidence[b],
  artist: (a, b) => artistOf(a).localeCompare(artistOf(b)) || titleOf(a).localeCompare(titleOf(b)),
  happy: (a, b) => valence[b] - valence[a],
  lively: (a, b) => arousal[b] - arousal[a],
  calm: (a, b) => arousal[a] - arousal[b],
};

let list = [];
let rows = 0;

function moodSaid(m) {
  return [glyph(m), ` ${LABELS[m]}`];
}

function playButton(i, text) {
  const button = element("button", { type: "button", class: "play" }, text);
  button.addEventListener("click", () => play(i));
  return button;
}

function songRow(i) {
  return element("tr", { "data-song": i, ...(i === playing ? { class: "now" } : {}) },
    element("td", {}, playButton(i, titleOf(i))), element("td", {}, artistOf(i)),
    element("td", { class: "spare" }, albumOf(i)), element("td", { class: "whole" }, ...moodSaid(mood[i])),
    element("td", { class: "whole" }, percent(confidence[i])));
}

function showMore() {
  byId("songs").append(...list.slice(rows, rows + PAGE).map(songRow));
  rows = Math.min(rows + PAGE, list.length);
  byId("more").hidden = rows >= list.length;
}

function showList() {
  list = listed().sort(ORDERS[byId("order").value]);
  rows = 0;
  byId("songs").replaceChildren();
  showMore();
  const songs = (n) => (n === 1 ? "1 song" : `${n} songs`);
  byId("shown").textContent = list.length === N ? `All ${songs(N)} are shown.` : `${songs(list.length)} of ${N} are shown.`;
  byId("save").disabled = !list.length;
}

// A playlist of the songs in the list, in its order; file names byte by byte as they are.
function savePlaylist() {
  const encoder = new TextEncoder();
  const parts = [encoder.encode("#EXTM3U\n")];
  for (const i of list) {
    const name = nameOf(i).replace(/\s+/g, " ");
    parts.push(encoder.encode(`#EXTINF:${seconds[i]},${name}\n`), ...pathBytes(pathOf(i)), encoder.encode("\n"));
  }
  const url = URL.createObjectURL(new Blob(parts, { type: "audio/x-mpegurl" }));
  element("a", { href: url, download: "mertag.m3u8" }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

function countsBy(kind) {
  const found = new Map();
  for (const i of visible) {
    for (const name of groupsOf(kind, i)) {
      if (!found.has(name)) found.set(name, [0, 0, 0, 0]);
      found.get(name)[mood[i]]++;
    }
  }
  const total = (counts) => counts.reduce((a, b) => a + b, 0);
  const groups = Array.from(found, ([name, counts]) => ({ name, counts, n: total(counts) }));
  if (kind === "decade") return groups.sort((a, b) => a.name.localeCompare(b.name));
  return groups.sort((a, b) => b.n - a.n || a.name.localeCompare(b.name)).slice(0, MOST_BARS);
}

function bar({ counts, n }) {
  const said = counts.map((count, m) => (count ? `${LABELS[m]} ${percent(count / n)}` : "")).filter(Boolean).join(", ");
  const drawn = element("div", { class: "bar", role: "img", "aria-label": said, title: said });
  counts.forEach((count, m) => {
    if (!count) return;
    const part = element("span", { class: `q${m}` });
    part.style.width = `${(100 * count) / n}%`;
    drawn.append(part);
  });
  return drawn;
}

function groupRow(kind, group) {
  const button = element("button", { type: "button" }, group.name);
  button.addEventListener("click", () => showGroup({ kind, name: group.name }));
  return element("tr", {}, element("th", { scope: "row" }, button), element("td", { class: "n" }, String(group.n)),
    element("td", {}, bar(group)));
}

function showBars() {
  const columns = [["genre", "Genre"], ["artist", "Artist"], ["decade", "Decade"]].map(([kind, title]) => {
    const groups = countsBy(kind);
    const head = element("tr", {}, ...[title, "Songs", "Moods"].map((text) => element("th", { scope: "col" }, text)));
    const table = element("table", {}, element("thead", { class: "unseen" }, head),
      element("tbody", {}, ...groups.map((group) => groupRow(kind, group))));
    return element("div", {}, element("h3", {}, title), groups.length ? table : element("p", {}, "The tags do not say."));
  });
  byId("bars").replaceChildren(...columns);
}

function showJudge() {
  byId("judge").append(...raw.judge.map(([i, why]) =>
    element("li", { "data-song": i }, playButton(i, nameOf(i)), element("small", {}, why))));
}

function setUpLists() {
  byId("legend").append(...LABELS.map((_, m) => element("li", {}, ...moodSaid(m))));
  byId("order").addEventListener("change", showList);
  byId("more").addEventListener("click", showMore);
  byId("save").addEventListener("click", savePlaylist);
  onFiltered(showList);
  onFiltered(showBars);
  showJudge();
}
