// The page of `mnist-core demo`: boards to draw on, and what the server's model says of them.
// Text from the server is set as textContent only, so nothing in it is taken for HTML.
"use strict";

const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
const SETTLED = 700; // milliseconds without a change after which the answer is announced
const percent = value => {
  if (value > 0.9995 && value < 1) return "> 99.9\u00a0%"; // never certain
  if (value < 0.0005 && value > 0) return "< 0.1\u00a0%";
  return `${value === 0 || value === 1 ? 100 * value : (100 * value).toFixed(1)}\u00a0%`;
};
let server = { models: [], first: {}, lacking: {}, side: 140 };

class Problem extends Error {}

async function ask(path, options) {
  let answer;
  try {
    answer = await (await fetch(path, options)).json();
  } catch {
    throw new Problem("The server does not answer. Start it again in the terminal and reload this page.");
  }
  if (answer.error) throw new Problem(answer.error);
  return answer;
}

// ---------------------------------------------------------------- drawing

class Board {
  // Strokes in units of the board's side, so that they can be drawn at any size.
  constructor(root, changed) {
    root.append($("#board").content.cloneNode(true));
    this.root = root;
    this.changed = changed;
    this.strokes = []; // {width, erases, points: [x, y, …]}, or {clears: true}
    this.current = null;
    this.eraser = false;
    this.paper = $(".paper", root);
    this.label = root.dataset.label;
    this.sent = document.createElement("canvas"); // what the server gets: ink as opacity
    this.sent.width = this.sent.height = server.side;
    this.size = $(".size", root);
    this.listen();
    new ResizeObserver(() => this.fit()).observe(this.paper);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.paint());
    this.update();
  }

  listen() {
    const on = (name, handler) => this.paper.addEventListener(name, handler);
    on("pointerdown", event => this.begin(event));
    on("pointermove", event => this.move(event));
    on("pointerup", event => this.end(event));
    on("pointercancel", event => this.end(event));
    on("keydown", event => this.key(event));
    for (const button of $$("[data-tool]", this.root)) {
      button.addEventListener("click", () => this.use(button.dataset.tool));
    }
  }

  use(tool) {
    if (tool === "undo") this.undo();
    else if (tool === "clear") this.clear();
    else {
      this.eraser = tool === "eraser";
      this.update();
    }
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const tools = { z: "undo", c: "clear", b: "brush", e: "eraser" };
    const key = event.key.toLowerCase();
    if (key in tools) this.use(tools[key]);
    else if (key === "[") this.size.stepDown();
    else if (key === "]") this.size.stepUp();
    else return;
    event.preventDefault();
  }

  place(event) {
    const box = this.paper.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  }

  begin(event) {
    if (this.current || event.button !== 0) return; // a second finger draws nothing
    event.preventDefault();
    this.paper.focus({ preventScroll: true });
    if (event.isTrusted) this.paper.setPointerCapture(event.pointerId);
    this.current = event.pointerId;
    const erases = this.eraser || event.buttons === 32; // the other end of a pen
    this.strokes.push({ width: this.size.value / 100, erases, points: this.place(event) });
    this.draw(this.strokes.at(-1), 0);
    this.update();
    this.changed();
  }

  move(event) {
    if (event.pointerId !== this.current) return;
    const stroke = this.strokes.at(-1);
    const from = stroke.points.length - 2;
    const events = event.getCoalescedEvents?.() ?? [];
    for (const one of events.length ? events : [event]) stroke.points.push(...this.place(one));
    this.draw(stroke, from);
    this.changed();
  }

  end(event) {
    if (event.pointerId !== this.current) return;
    this.current = null;
    this.changed();
  }

  get shown() {
    return this.strokes.slice(this.strokes.findLastIndex(stroke => stroke.clears) + 1);
  }

  undo() {
    if (this.current !== null || !this.strokes.length) return;
    this.strokes.pop();
    this.repaint();
  }

  clear() {
    if (this.current !== null || !this.shown.length) return;
    this.strokes.push({ clears: true }); // so that it can be undone
    this.repaint();
  }

  repaint() {
    this.paint();
    this.update();
    this.changed();
  }

  fit() {
    const side = Math.round(this.paper.clientWidth * (window.devicePixelRatio || 1));
    if (!side || side === this.paper.width) return;
    this.paper.width = this.paper.height = side;
    this.paint();
  }

  paint() {
    for (const canvas of [this.paper, this.sent]) {
      this.context(canvas).clearRect(0, 0, canvas.width, canvas.height);
    }
    for (const stroke of this.shown) this.draw(stroke, 0);
  }

  context(canvas) {
    // The first call decides: what is sent is read after each stroke, so it is kept in main memory.
    return canvas.getContext("2d", { willReadFrequently: canvas === this.sent });
  }

  draw(stroke, from) {
    // Draw a stroke from a point of it, on the page and on what is sent.
    const ink = getComputedStyle(this.root).getPropertyValue("--ink").trim();
    for (const canvas of [this.paper, this.sent]) {
      const context = this.context(canvas);
      const side = canvas.width;
      context.globalCompositeOperation = stroke.erases ? "destination-out" : "source-over";
      context.strokeStyle = ink;
      context.lineWidth = stroke.width * side;
      context.lineCap = context.lineJoin = "round";
      context.beginPath();
      context.moveTo(stroke.points[from] * side, stroke.points[from + 1] * side);
      for (let k = from; k < stroke.points.length; k += 2) {
        context.lineTo(stroke.points[k] * side, stroke.points[k + 1] * side);
      }
      context.stroke();
    }
  }

  ink() {
    // One byte a pixel: its opacity.
    const side = server.side;
    const pixels = this.context(this.sent).getImageData(0, 0, side, side).data;
    const bytes = new Uint8Array(side * side);
    for (let k = 0; k < bytes.length; k++) bytes[k] = pixels[4 * k + 3];
    return bytes;
  }

  update() {
    const empty = !this.shown.length;
    $("[data-tool=undo]", this.root).disabled = !this.strokes.length;
    $("[data-tool=clear]", this.root).disabled = empty;
    $("[data-tool=brush]", this.root).setAttribute("aria-pressed", String(!this.eraser));
    $("[data-tool=eraser]", this.root).setAttribute("aria-pressed", String(this.eraser));
    const count = this.shown.length;
    const said = empty ? "empty" : `${count} ${count === 1 ? "stroke" : "strokes"}`;
    this.paper.setAttribute("aria-label", `${this.label}, ${said}. Draw with a mouse, a finger or a pen.`);
  }
}

// Call `work` now, or again when it is done: never twice at a time, and never less than once after.
function latest(work) {
  let busy = false;
  let again = false;
  return async function run() {
    if (busy) {
      again = true;
      return;
    }
    busy = true;
    do {
      again = false;
      await work();
      await new Promise(requestAnimationFrame);
    } while (again);
    busy = false;
  };
}

// Say a text to a screen reader when it has not changed for a while.
function announcer(element) {
  let timer = 0;
  return text => {
    clearTimeout(timer);
    timer = setTimeout(() => (element.textContent = text), SETTLED);
  };
}

function show(canvas, pixels) {
  // Pixels of an image, base64, or null: white ink on black, as the model sees it.
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, canvas.width, canvas.height);
  if (!pixels) return;
  const bytes = Uint8Array.from(atob(pixels), letter => letter.charCodeAt(0));
  const image = context.createImageData(28, 28);
  bytes.forEach((value, k) => image.data.set([value, value, value, 255], 4 * k));
  context.putImageData(image, 0, 0);
}

function say(answer, state, lead, more) {
  answer.dataset.state = state;
  $(".lead", answer).textContent = lead;
  $(".more", answer).textContent = more;
}

// ---------------------------------------------------------------- one digit

const MOST_BARS = 12;

function one() {
  const root = $("#draw");
  const select = $("#draw-model");
  const answer = $(".answer", root);
  const bars = $(".bars", root);
  const announce = announcer($(".said", root));
  const names = () => server.models[select.value].names;
  const list = latest(update);
  const board = new Board($(".board", root), list);
  select.addEventListener("change", list);

  async function update() {
    const model = select.value;
    let found;
    try {
      found = await ask(`api/classify?model=${model}`, { method: "POST", body: board.ink() });
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      found = { state: "problem", text: problem.message };
    }
    render(found);
  }

  function render(found) {
    const known = names();
    const odds = found.probabilities ?? [];
    const order = odds.map((_, k) => k).sort((a, b) => odds[b] - odds[a]);
    const big = $(".big", answer);
    const sure = found.state === "sure";
    big.textContent = sure ? known[order[0]] : found.state === "unsure" ? "?" : "–";
    big.classList.toggle("long", big.textContent.length > 2);
    const texts = {
      empty: [prompt(known), "with the mouse, a finger or a pen."],
      small: ["That is only a dot", "Draw it larger."],
      problem: ["That did not work", found.text],
    };
    if (sure) texts.sure = [`This looks like ${known[order[0]]}`, `${percent(odds[order[0]])} sure`];
    if (found.state === "unsure") {
      const two = order.slice(0, 2).map(k => `${known[k]} (${percent(odds[k])})`);
      texts.unsure = ["Not sure", `It may be ${two.join(" or ")}.`];
    }
    say(answer, found.state, ...texts[found.state]);
    announce(`${texts[found.state].join(", ")}`);
    fill(known, odds, order);
    const seen = $(".seen canvas", root);
    show(seen, found.image);
    seen.setAttribute("aria-label", `The image that the model sees: ${found.image ? "your drawing" : "nothing yet"}`);
    $(".time", root).textContent = found.milliseconds ? `Answered in ${found.milliseconds} ms.` : "";
  }

  function fill(known, odds, order) {
    // All classes in their order, or the likeliest of many.
    const many = known.length > MOST_BARS;
    const shown = !many ? [...known.keys()] : odds.length ? order.slice(0, 10) : [...known.keys()].slice(0, 10);
    bars.classList.toggle("long", known.some(name => name.length > 3));
    while (bars.children.length > shown.length) bars.lastChild.remove();
    while (bars.children.length < shown.length) bars.append(bar());
    shown.forEach((k, row) => {
      const item = bars.children[row];
      const value = odds[k] ?? 0;
      item.classList.toggle("best", odds.length > 0 && k === order[0]);
      $(".name", item).textContent = known[k];
      $(".fill", item).style.transform = `translateX(${100 * (value - 1)}%)`;
      $(".value", item).textContent = odds.length ? percent(value) : "–";
    });
  }
  return { start: list, boards: [board] };
}

function prompt(names) {
  const digits = names.length === 10 && names.every((name, k) => name === String(k));
  return digits ? "Draw a digit from 0 to 9" : `Draw one of ${names.length} classes`;
}

function bar() {
  const item = document.createElement("li");
  for (const name of ["name", "track", "value"]) {
    const part = document.createElement("span");
    part.className = name;
    item.append(part);
  }
  const fill = document.createElement("span");
  fill.className = "fill";
  $(".track", item).append(fill);
  return item;
}

// ---------------------------------------------------------------- two digits

function two() {
  const root = $("#same");
  const select = $("#same-model");
  const answer = $(".answer", root);
  const announce = announcer($(".said", root));
  const list = latest(update);
  const boards = $$(".board", root).map(place => new Board(place, list));
  select.addEventListener("change", list);

  async function update() {
    const body = new Blob(boards.map(board => board.ink()));
    try {
      render(await ask(`api/compare?model=${select.value}`, { method: "POST", body }));
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      say(answer, "problem", "That did not work", problem.message);
    }
  }

  function render(found) {
    $$(".pixels", answer).forEach((canvas, k) => {
      show(canvas, found.images[k]);
      const which = ["first", "second"][k];
      const what = found.images[k] ? "your drawing" : "nothing yet";
      canvas.setAttribute("aria-label", `The ${which} image that the model sees: ${what}`);
    });
    const gauge = $(".gauge", root);
    gauge.hidden = !("score" in found);
    if (gauge.hidden) {
      const small = found.states.includes("small");
      const drawn = found.states.filter(state => state === "drawn").length;
      const lead = small ? "That is only a dot" : drawn ? "Now the other one" : "Draw two digits";
      const more = small ? "Draw it larger." : "The model says whether they are the same one.";
      say(answer, small ? "small" : "empty", lead, more);
      if (drawn || small) announce(`${lead}. ${more}`);
      return;
    }
    const lead = found.unsure ? "Not sure" : found.same ? "The same digit" : "Different digits";
    const compared = found.same ? "at or above" : "below";
    const more = `Score ${found.score.toFixed(2)}, ${compared} the threshold of ${found.threshold.toFixed(2)}`;
    say(answer, found.unsure ? "unsure" : "sure", lead, more);
    announce(`${lead}. ${more}`);
    $(".score", gauge).style.left = `${100 * along(found.score, found)}%`;
    $(".threshold", gauge).style.left = `${100 * along(found.threshold, found)}%`;
  }
  return { start: list, boards };
}

// Where a score lies on the gauge, 0 to 1: the threshold is in the middle.
function along(score, { low, high, threshold }) {
  const part = score < threshold ? (score - threshold) / (threshold - low) : (score - threshold) / (high - threshold);
  return 0.5 + 0.5 * Math.max(-1, Math.min(1, part));
}

// ---------------------------------------------------------------- mistakes

const IMAGES = 60; // at a time

function mistakes() {
  const root = $("#images");
  const select = $("#images-model");
  const split = $("#split");
  const grid = $(".grid", root);
  const summary = $(".summary", root);
  const notes = $(".notes", root);
  const more = $("#more-images");
  let asked = 0; // answers to earlier questions are dropped
  select.addEventListener("change", () => load(true));
  split.addEventListener("change", () => load(true));
  more.addEventListener("click", () => load(false));
  $("#read-test").addEventListener("click", read);

  async function load(replace) {
    const number = ++asked;
    if (replace) {
      grid.replaceChildren();
      notes.replaceChildren();
      $("#ask-test").hidden = more.hidden = true;
      summary.textContent = "The model looks at the images …";
    }
    const start = grid.children.length;
    const query = `model=${select.value}&split=${split.value}&start=${start}&count=${IMAGES}`;
    const found = await answered(`api/images?${query}`);
    if (found && number === asked) render(found);
    if (found && !replace) $(`li:nth-child(${start + 1})`, grid)?.focus();
  }

  async function read() {
    summary.textContent = "The model looks at the test images …";
    $("#ask-test").hidden = true;
    if (await answered(`api/test-images?model=${select.value}`, { method: "POST" })) await load(true);
    select.focus();
  }

  async function answered(path, options) {
    try {
      return await ask(path, options);
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      summary.textContent = problem.message;
      return null;
    }
  }

  function render(found) {
    if (found.unread) {
      $("#ask-test").hidden = false;
      summary.textContent = "";
      return;
    }
    const kind = split.value === "test" ? "test images" : "validation images";
    const right = percent((found.total - found.wrong) / found.total);
    const wrong = `${found.wrong} ${found.wrong === 1 ? "mistake" : "mistakes"}`;
    summary.textContent = `${wrong} in ${found.total.toLocaleString("en")} ${kind}, ${right} right`;
    notes.replaceChildren(...found.notes.map(text => element("li", text)));
    const before = grid.children.length;
    grid.append(...found.images.map((image, k) => item(image, found, before + k < found.wrong)));
    const left = found.total - grid.children.length;
    more.hidden = left <= 0;
    more.textContent = `Show ${Math.min(IMAGES, left)} more of ${left.toLocaleString("en")}`;
  }

  function item({ image, truth, said, probability }, { names }, wrong) {
    const place = element("li", "");
    place.tabIndex = -1;
    place.className = wrong ? "wrong" : "right";
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = 28;
    canvas.setAttribute("aria-hidden", "true");
    show(canvas, image);
    const text = wrong ? `${names[truth]} taken for ${names[said]}` : `${names[truth]}, right`;
    place.append(canvas, `${text}, ${Math.round(100 * probability)} %`);
    return place;
  }
  let seen = false;
  return {
    open: () => {
      if (!seen) load((seen = true));
    },
  };
}

function element(name, text) {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}

// ---------------------------------------------------------------- the page

function fillSelects() {
  for (const select of $$("select[data-kind]")) {
    const kind = select.dataset.kind;
    server.models.forEach((model, index) => {
      if (model.pairs === (kind === "pairs")) select.add(new Option(model.title, index));
    });
    const detail = $(".detail", select.closest(".model"));
    if (kind in server.lacking) {
      select.add(new Option("none"));
      select.disabled = true;
      detail.textContent = server.lacking[kind];
      for (const part of select.closest("section").children) part.hidden = part !== select.closest(".model");
      continue;
    }
    select.value = server.first[kind];
    const describe = () => (detail.textContent = server.models[select.value].detail);
    select.addEventListener("change", describe);
    describe();
  }
}

function tabs(views) {
  const all = $$("[role=tab]");
  const open = (tab, focus) => {
    for (const one of all) {
      const chosen = one === tab;
      one.setAttribute("aria-selected", String(chosen));
      one.tabIndex = chosen ? 0 : -1;
      $(`#${one.getAttribute("aria-controls")}`).hidden = !chosen;
    }
    if (focus) tab.focus();
    views[tab.getAttribute("aria-controls")].open?.();
    history.replaceState(null, "", `#${tab.getAttribute("aria-controls")}`);
  };
  all.forEach((tab, k) => {
    tab.addEventListener("click", () => open(tab, false));
    tab.addEventListener("keydown", event => {
      const places = { ArrowRight: k + 1, ArrowLeft: k + all.length - 1, Home: 0, End: all.length - 1 };
      if (!(event.key in places)) return;
      event.preventDefault();
      open(all[places[event.key] % all.length], true);
    });
  });
  const asked = location.hash.slice(1);
  open($(`#tab-${asked in views ? asked : server.start}`), false);
}

async function start() {
  try {
    server = await ask("api/models");
  } catch (problem) {
    say($("#draw .answer"), "problem", "That did not work", problem.message);
    return;
  }
  fillSelects();
  const none = { start() {}, boards: [] }; // of a view without a model, which says so
  const classes = !("classes" in server.lacking);
  const views = {
    draw: classes ? one() : none,
    same: "pairs" in server.lacking ? none : two(),
    images: classes ? mistakes() : none,
  };
  tabs(views);
  const boards = { draw: views.draw.boards, same: views.same.boards };
  let last = null; // the board that was drawn on or used last
  document.addEventListener("focusin", event => {
    const place = event.target.closest(".board");
    if (place) last = Object.values(boards).flat().find(board => board.root === place);
  });
  document.addEventListener("keydown", event => {
    if (!(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== "z" || event.shiftKey) return;
    const here = Object.entries(boards).find(([name]) => !$(`#${name}`).hidden);
    if (!here) return;
    event.preventDefault();
    (here[1].includes(last) ? last : here[1][0]).undo();
  });
  views.draw.start();
  views.same.start();
}

start();
