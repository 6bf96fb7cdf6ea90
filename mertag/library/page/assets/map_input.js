// How the map is moved and asked: by pointer, by wheel, by buttons, by keys.

const KEYS = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

function choose(i) {
  chosen = i;
  showTip(i);
  byId("announce").textContent = i < 0 ? "" : saidOf(i);
  map.redraw(false);
}

// Go to the nearest song in a direction: the farther off the way it lies, the farther it counts.
function step([right, up]) {
  if (chosen < 0 || !visible.includes(chosen)) {
    const inView = Array.from(visible).filter(isInView);
    const off = (i) => Math.hypot(valence[i] - (view.x[0] + view.x[1]) / 2, arousal[i] - (view.y[0] + view.y[1]) / 2);
    choose(inView.length ? inView.reduce((a, b) => (off(b) < off(a) ? b : a)) : -1);
    return;
  }
  let best = -1;
  let least = Infinity;
  for (const i of visible) {
    const dx = valence[i] - valence[chosen];
    const dy = arousal[i] - arousal[chosen];
    const along = dx * right + dy * up;
    const cost = along + 3 * Math.abs(dx * up + dy * right);
    if (i !== chosen && along > 0 && cost < least) {
      least = cost;
      best = i;
    }
  }
  if (best < 0) return;
  if (!isInView(best)) {
    const w = view.x[1] - view.x[0];
    const h = view.y[1] - view.y[0];
    setView(within("x", valence[best] - w / 2, w), within("y", arousal[best] - h / 2, h));
    settled();
  }
  choose(best);
}

function key(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key in KEYS) step(KEYS[event.key]);
  else if (event.key === "+" || event.key === "=") zoom(1 / 1.4);
  else if (event.key === "-") zoom(1.4);
  else if (event.key === "0") setView([...WHOLE.x], [...WHOLE.y]);
  else if (event.key === "Escape") choose(-1);
  else if (event.key === "Enter" && chosen >= 0) play(chosen);
  else return;
  event.preventDefault();
}

function setUpPointer(over) {
  let from = null;
  let moved = 0;
  const place = (event) => {
    const box = over.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  over.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    from = [event.clientX, event.clientY];
    moved = 0;
    if (event.pointerType === "mouse") over.setPointerCapture(event.pointerId);
  });
  over.addEventListener("pointermove", (event) => {
    if (!from) {
      hover(nearest(...place(event)));
      return;
    }
    const [dx, dy] = [event.clientX - from[0], event.clientY - from[1]];
    moved += Math.abs(dx) + Math.abs(dy);
    from = [event.clientX, event.clientY];
    if (moved > 4) {
      hover(-1);
      pan(dx, event.pointerType === "mouse" ? dy : 0);
    }
  });
  over.addEventListener("pointerup", (event) => {
    const clicked = from && moved <= 4 ? nearest(...place(event)) : -1;
    from = null;
    if (clicked < 0) return;
    choose(clicked);
    play(clicked);
  });
  over.addEventListener("pointercancel", () => (from = null));
  over.addEventListener("pointerleave", () => {
    if (!from) hover(-1);
  });
  over.addEventListener("wheel", (event) => {
    event.preventDefault();
    const [left, top] = place(event);
    zoom(event.deltaY < 0 ? 1 / 1.25 : 1.25, { x: map.posToVal(left, "x"), y: map.posToVal(top, "y") });
  }, { passive: false });
}

function sizeOfMap() {
  return { width: byId("map").clientWidth, height: byId("map").clientHeight };
}

function setUpMap() {
  readColours();
  const axis = (name, size) => ({
    label: name, labelSize: 22, size, stroke: () => colours.quiet,
    grid: { stroke: () => colours.line, width: 1 }, ticks: { stroke: () => colours.line, width: 1 },
  });
  map = new uPlot({
    ...sizeOfMap(), mode: 2, padding: [ABOVE_PX, null, null, null], legend: { show: false }, cursor: { show: false },
    scales: { x: { time: false, range: () => view.x }, y: { range: () => view.y } },
    axes: [axis("valence: unpleasant to pleasant", BELOW_PX + 16), axis("arousal: calm to excited", 44)],
    series: [null, { facets: [{ scale: "x", auto: false }, { scale: "y", auto: false }], paths: () => null }],
    hooks: { drawClear: [drawAreas], draw: [drawDots, drawLabels] },
  }, [null, [[], []]], byId("map"));
  setUpPointer(map.over);
  byId("map").addEventListener("keydown", key);
  byId("map").addEventListener("blur", () => showTip(-1));
  byId("zoom-in").addEventListener("click", () => zoom(1 / 1.4));
  byId("zoom-out").addEventListener("click", () => zoom(1.4));
  byId("zoom-reset").addEventListener("click", () => setView([...WHOLE.x], [...WHOLE.y]));
  new ResizeObserver(() => map.setSize(sizeOfMap())).observe(byId("map"));
  onFiltered(() => {
    byMood = LABELS.map((_, m) => visible.filter((i) => mood[i] === m));
    map.redraw(false);
  });
}
