// The map: a dot a song, valence to the right and arousal upwards, on a canvas that uPlot keeps.

const WHOLE = { x: [-0.02, 1.02], y: [-0.02, 1.02] };
const REACH_PX = 12; // how near a dot the pointer must be
const SMALLEST = 0.02; // how far one can zoom in
const ABOVE_PX = 26; // the room for the names of the upper quadrants
const BELOW_PX = 44; // how far below the map the lower ones stand, beneath the figures of the axis

let map = null;
let view = { x: [...WHOLE.x], y: [...WHOLE.y] };
let byMood = [[], [], [], []]; // the visible songs, so that a colour is set four times and not once a dot
let chosen = -1; // the song that the keyboard is at
let hovered = -1;
let colours = {};

function readColours() {
  const style = getComputedStyle(document.documentElement);
  const of = (name) => style.getPropertyValue(name).trim();
  colours = {
    moods: ["--happy", "--angry", "--sad", "--relaxed"].map(of),
    ink: of("--ink"), quiet: of("--quiet"), line: of("--line"), paper: of("--paper"),
  };
}

function isInView(i) {
  return valence[i] >= view.x[0] && valence[i] <= view.x[1] && arousal[i] >= view.y[0] && arousal[i] <= view.y[1];
}

function setView(x, y) {
  view = { x, y };
  map.batch(() => {
    map.setScale("x", { min: x[0], max: x[1] });
    map.setScale("y", { min: y[0], max: y[1] });
  });
}

let settling = 0;
function settled() {
  clearTimeout(settling);
  if (filters.inView) settling = setTimeout(applyFilters, 150);
}

function zoom(factor, centre) {
  const ranges = ["x", "y"].map((axis) => {
    const [low, high] = view[axis];
    const at = centre ? centre[axis] : (low + high) / 2;
    const span = Math.min(WHOLE[axis][1] - WHOLE[axis][0], Math.max(SMALLEST, (high - low) * factor));
    const share = (at - low) / (high - low);
    return within(axis, at - share * span, span);
  });
  setView(...ranges);
  settled();
}

function within(axis, low, span) {
  const start = Math.min(WHOLE[axis][1] - span, Math.max(WHOLE[axis][0], low));
  return [start, start + span];
}

function pan(dx, dy) {
  const w = view.x[1] - view.x[0];
  const h = view.y[1] - view.y[0];
  const { width, height } = map.over.getBoundingClientRect();
  setView(within("x", view.x[0] - (dx / width) * w, w), within("y", view.y[0] + (dy / height) * h, h));
  settled();
}

function drawAreas(u) {
  const { ctx, bbox } = u;
  const x = u.valToPos(0.5, "x", true);
  const y = u.valToPos(0.5, "y", true);
  const corners = [[x, bbox.top, bbox.left + bbox.width, y], [bbox.left, bbox.top, x, y],
    [bbox.left, y, x, bbox.top + bbox.height], [x, y, bbox.left + bbox.width, bbox.top + bbox.height]];
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  corners.forEach(([left, top, right, bottom], m) => {
    ctx.globalAlpha = 0.1;
    ctx.fillStyle = colours.moods[m];
    ctx.fillRect(left, top, right - left, bottom - top);
  });
  ctx.restore();
}

// Outside of the map: in its corners lie the songs that are surest.
function drawLabels(u) {
  const { ctx, bbox } = u;
  ctx.save();
  ctx.font = `bold ${16 * devicePixelRatio}px system-ui, sans-serif`;
  ctx.fillStyle = colours.ink;
  ctx.textBaseline = "middle";
  LABELS.forEach((label, m) => {
    const right = m === 0 || m === 3;
    const top = m < 2;
    ctx.textAlign = right ? "right" : "left";
    const x = right ? bbox.left + bbox.width : bbox.left;
    const y = top ? bbox.top - ABOVE_PX * devicePixelRatio / 2 : bbox.top + bbox.height + BELOW_PX * devicePixelRatio;
    ctx.fillText(`${GLYPHS[m]} ${label}`, x, y);
  });
  ctx.restore();
}

function drawDots(u) {
  const { ctx, bbox } = u;
  const [x0, x1] = view.x;
  const [y0, y1] = view.y;
  const kx = bbox.width / (x1 - x0);
  const ky = bbox.height / (y1 - y0);
  const spread = (WHOLE.x[1] - WHOLE.x[0]) / (x1 - x0);
  const crowd = visible.length > 20000 ? 2 : visible.length > 4000 ? 3 : 5;
  const size = Math.round(Math.min(7, crowd + Math.log2(spread)) * devicePixelRatio);
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  ctx.globalAlpha = 0.75;
  const left = bbox.left - size / 2;
  const bottom = bbox.top + bbox.height - size / 2;
  byMood.forEach((songs, m) => {
    ctx.fillStyle = colours.moods[m];
    for (let k = 0; k < songs.length; k++) {
      const i = songs[k];
      const x = valence[i];
      const y = arousal[i];
      if (x < x0 || x > x1 || y < y0 || y > y1) continue;
      ctx.fillRect(left + (x - x0) * kx, bottom - (y - y0) * ky, size, size);
    }
  });
  ctx.globalAlpha = 1;
  drawCourseOnMap(u);
  for (const [i, width] of [[hovered, 2], [chosen, 3], [playing, 3]]) if (i >= 0) drawRing(u, i, width);
  ctx.restore();
}

function drawCourseOnMap(u) {
  const course = playing >= 0 ? courseOf(playing) : null;
  if (!course) return;
  const { ctx } = u;
  ctx.beginPath();
  let pen = false;
  course.valence.forEach((v, k) => {
    if (v === null) return;
    const x = u.valToPos(v, "x", true);
    const y = u.valToPos(course.arousal[k], "y", true);
    if (pen) ctx.lineTo(x, y);
    else ctx.moveTo(x, y);
    pen = true;
  });
  ctx.lineWidth = 2 * devicePixelRatio;
  ctx.strokeStyle = colours.ink;
  ctx.stroke();
}

function drawRing(u, i, width) {
  const { ctx } = u;
  ctx.beginPath();
  ctx.arc(u.valToPos(valence[i], "x", true), u.valToPos(arousal[i], "y", true), 8 * devicePixelRatio, 0, 2 * Math.PI);
  ctx.lineWidth = (width + 2) * devicePixelRatio;
  ctx.strokeStyle = colours.paper;
  ctx.stroke();
  ctx.lineWidth = width * devicePixelRatio;
  ctx.strokeStyle = colours.ink;
  ctx.stroke();
}

// The visible song nearest to a place on the map, in pixels of the page; -1 if none is near.
function nearest(left, top) {
  const { width, height } = map.over.getBoundingClientRect();
  const kx = width / (view.x[1] - view.x[0]);
  const ky = height / (view.y[1] - view.y[0]);
  let best = -1;
  let least = REACH_PX * REACH_PX;
  for (let k = 0; k < visible.length; k++) {
    const i = visible[k];
    const dx = (valence[i] - view.x[0]) * kx - left;
    const dy = height - (arousal[i] - view.y[0]) * ky - top;
    const far = dx * dx + dy * dy;
    if (far < least) {
      least = far;
      best = i;
    }
  }
  return best;
}

function saidOf(i) {
  return `${nameOf(i)}: ${LABELS[mood[i]]}, confidence ${percent(confidence[i])}`;
}

function showTip(i) {
  const tip = byId("tip");
  tip.hidden = i < 0;
  if (i < 0) return;
  const own = raw.ownMood[i] ? `your mood: ${raw.ownMood[i]}` : "";
  tip.replaceChildren(
    element("strong", {}, titleOf(i)),
    artistOf(i) || "unknown artist",
    element("br"), glyph(mood[i]), ` ${LABELS[mood[i]]}, confidence ${percent(confidence[i])}`,
    ...(own ? [element("br"), own] : []),
  );
  const section = byId("map").parentElement.getBoundingClientRect();
  const over = map.over.getBoundingClientRect();
  const x = over.left - section.left + map.valToPos(valence[i], "x");
  const y = over.top - section.top + map.valToPos(arousal[i], "y");
  tip.style.left = `${Math.max(4, Math.min(x + 14, section.width - tip.offsetWidth - 4))}px`;
  tip.style.top = `${y + 14}px`;
}

function hover(i) {
  if (i === hovered) return;
  hovered = i;
  showTip(i);
  map.redraw(false);
}
