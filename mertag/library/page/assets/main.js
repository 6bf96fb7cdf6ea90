// The page: what it is about, its colours, and the start of all the rest.

function about() {
  const n = N === 1 ? "1 song" : `${N} songs`;
  const where = raw.paths.length ? ` in ${raw.paths.join(", ")}` : "";
  const without = raw.without ? `; ${raw.without} more files have no emotion` : "";
  byId("about").textContent = `${n}${where}, heard by ${raw.models.join(", ") || "no model"}${without}`;
  byId("made").textContent = `Made by mertag ${raw.mertag}. Nothing on this page leaves your machine.`;
}

function setUpTheme() {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const redraw = () => {
    readColours();
    map.redraw(false);
    if (courseChart) courseChart.redraw(false);
  };
  byId("theme").addEventListener("click", () => {
    const root = document.documentElement;
    const isDark = root.dataset.theme ? root.dataset.theme === "dark" : dark.matches;
    root.dataset.theme = isDark ? "light" : "dark";
    redraw();
  });
  dark.addEventListener("change", redraw);
}

about();
setUpFilters();
setUpMap();
setUpPlayer();
setUpLists();
setUpTheme();
applyFilters();
document.documentElement.dataset.ready = "yes";
