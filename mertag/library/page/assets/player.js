// The player: plays a file from its place, and shows the song's course over time.

let playing = -1;
let courseChart = null;

function play(i) {
  playing = i;
  const audio = byId("audio");
  byId("player-error").textContent = "";
  byId("playing").replaceChildren(
    element("strong", {}, titleOf(i)),
    [artistOf(i), albumOf(i), year[i] || ""].filter(Boolean).join(", ") || shown(pathOf(i)),
    element("br"), glyph(mood[i]), ` ${LABELS[mood[i]]}, confidence ${percent(confidence[i])}`,
    ...(raw.ownMood[i] ? [element("br"), `your mood: ${raw.ownMood[i]}`] : []),
  );
  audio.src = fileUrl(i);
  audio.play().catch((error) => {
    if (playing === i && error.name !== "AbortError") cannotPlay();
  });
  showCourse(i);
  for (const row of document.querySelectorAll("[data-song]")) row.classList.toggle("now", row.dataset.song === String(i));
  if (map) map.redraw(false);
}

function cannotPlay() {
  if (playing < 0) return;
  const reason = location.protocol === "file:"
    ? "the file is no longer at its place, or the browser does not know its format"
    : "open the page from your disk: from a server, a browser may not read files";
  byId("player-error").textContent = `This song cannot be played here (${reason}): ${shown(pathOf(playing))}`;
}

function showCourse(i) {
  const course = courseOf(i);
  byId("course").hidden = byId("course-said").hidden = !course;
  if (courseChart) courseChart.destroy();
  courseChart = null;
  if (!course) return;
  const n = course.valence.length;
  const times = course.valence.map((_, k) => ((k + 0.5) * seconds[i]) / n);
  const axis = { stroke: () => colours.quiet, grid: { stroke: () => colours.line }, ticks: { show: false }, size: 30 };
  const line = (label, colour, dash) => ({ label, stroke: () => colours.moods[colour], width: 2, dash, points: { show: false } });
  courseChart = new uPlot({
    width: byId("course").clientWidth, height: 150, legend: { show: false },
    cursor: { drag: { x: false, y: false }, points: { show: false } },
    scales: { x: { time: false, range: [0, seconds[i]] }, y: { range: [0, 1] } },
    axes: [{ ...axis, values: (_, ticks) => ticks.map(minutes) }, { ...axis, size: 34 }],
    series: [{}, line("valence", 3), line("arousal", 1, [6, 4])],
    hooks: { draw: [drawNow] },
  }, [times, course.valence, course.arousal], byId("course"));
  courseChart.over.addEventListener("click", () => {
    const at = courseChart.posToVal(courseChart.cursor.left, "x");
    if (Number.isFinite(at)) byId("audio").currentTime = at;
  });
  const mean = (values) => {
    const known = values.filter((value) => value !== null);
    return known.length ? percent(known.reduce((a, b) => a + b, 0) / known.length) : "not known";
  };
  byId("course-said").textContent =
    `Over time: valence, the line (mean ${mean(course.valence)}), and arousal, the dashes (mean ${mean(course.arousal)}).`;
}

function drawNow(u) {
  const now = byId("audio").currentTime;
  if (!now) return;
  const x = u.valToPos(now, "x", true);
  u.ctx.save();
  u.ctx.strokeStyle = colours.ink;
  u.ctx.lineWidth = 2 * devicePixelRatio;
  u.ctx.beginPath();
  u.ctx.moveTo(x, u.bbox.top);
  u.ctx.lineTo(x, u.bbox.top + u.bbox.height);
  u.ctx.stroke();
  u.ctx.restore();
}

function minutes(time) {
  return `${Math.floor(time / 60)}:${String(Math.floor(time % 60)).padStart(2, "0")}`;
}

function setUpPlayer() {
  const audio = byId("audio");
  audio.addEventListener("error", cannotPlay);
  audio.addEventListener("timeupdate", () => courseChart && courseChart.redraw(false));
  new ResizeObserver(() => {
    if (courseChart && byId("course").clientWidth) courseChart.setSize({ width: byId("course").clientWidth, height: 150 });
  }).observe(byId("player"));
  // While a song plays, its controls stay in sight: at the foot of the window where their place is not seen.
  let seen = true;
  const keepInSight = () => byId("deck").classList.toggle("away", !seen && playing >= 0);
  new IntersectionObserver((entries) => {
    seen = entries.at(-1).isIntersecting;
    keepInSight();
  }).observe(byId("deck"));
  audio.addEventListener("play", keepInSight);
}
