// The log viewer of a task. It reads events from the page's own address, as a stream, and goes on from the place of the last
// one when the connection ends. All lines of an attempt are kept here, within bounds; a window of them is in the page.
import { element, nodes, plain } from "./output_text.js";

const MOST_LINES = 50_000;
const WINDOW = 1_500; // never more than 2,000 in the page
const STEP = 500;
const LONGEST_LINE = 20_000;
const TRY_AGAIN_MS = 1_000;
const LONGEST_PAUSE_MS = 30_000;
const NEXT_ATTEMPT_MS = 2_000;

const viewer = document.getElementById("ts-viewer");
const part = (name) => document.getElementById(`ts-log${name}`);
const box = part("");
const list = box.querySelector("ol");
const notice = document.getElementById("ts-live-notice");
const search = part("-search");
const field = search.querySelector("input");

const state = { attempt: 0, lines: [], last: "", open: false, begin: 0, end: 0, visible: [], shut: new Set(), term: "",
                matches: [], match: -1, here: 0, follow: false, reading: null, drawing: false, readAt: new Date(), isWhole: false };

const addressOf = (parameters) => `${viewer.dataset.lines}?${new URLSearchParams(parameters)}`;
const countOf = () => `${state.lines.filter((line) => !line.gap).length.toLocaleString("en")} lines`;
const say = (text) => { part("-state").textContent = text; };

// --- what was written, as lines

function add(chunk) {
  const texts = chunk.text.split("\n");
  const isWhole = texts.at(-1) === "";
  if (isWhole) texts.pop();
  texts.forEach((text, index) => {
    const before = state.lines.at(-1);
    const number = chunk.line + index;
    if (!index && state.open && before?.stream === chunk.stream && before.number === number) before.text += text;
    else push({ number, text, stream: chunk.stream, at: chunk.at });
  });
  state.open = !isWhole;
}

function push(line) {
  const before = state.lines.at(-1);
  const word = /^::(group::|endgroup::)(.*)/.exec(line.text);
  line.group = before && !before.ends ? before.head ? before : before.group : null;
  if (word?.[1] === "group::") { line.head = word[2].trim() || "group"; line.group = null; }
  line.ends = word?.[1] === "endgroup::";
  state.lines.push(line);
}

function forget() {
  const many = state.lines.length - MOST_LINES;
  if (many < MOST_LINES / 10) return;
  state.lines.splice(0, many, { gap: `${many.toLocaleString("en")} lines are no longer on this page; load it again to see what is kept` });
  rebuild();
}

// --- the window of lines that is in the page

const isShut = (line) => line.group && state.shut.has(line.group.number);

function rebuild() {
  state.visible = state.lines.filter((line) => !isShut(line));
  state.known = state.lines.length;
  const end = state.follow ? state.visible.length : Math.min(state.visible.length, Math.max(state.end, WINDOW));
  draw(Math.max(0, end - WINDOW), end);
}

function draw(begin, end) {
  list.replaceChildren(...state.visible.slice(begin, end).map(row));
  Object.assign(state, { begin, end });
}

function row(line) {
  const item = element("li");
  if (line.gap) {
    item.className = "ts-log-gap";
    item.append(line.gap);
    return item;
  }
  const number = element("span", "ts-log-number", String(line.number));
  number.title = line.at;
  item.id = nameOf(line);
  if (line.stream === "stderr") item.className = "ts-log-stderr";
  if (line.number === state.here) item.classList.add("ts-log-here");
  item.append(number, line.head ? fold(line) : textOf(line));
  line.drawn = line.text.length;
  return item;
}

function textOf(line) {
  const code = element("code");
  const more = line.text.length - LONGEST_LINE;
  code.append(...nodes(line.ends ? "" : line.text.slice(0, LONGEST_LINE), state.term));
  if (more > 0) code.append(element("span", "ts-unseen", `⟨and ${more.toLocaleString("en")} characters more⟩`));
  return code;
}

function fold(line) {
  const button = element("button", "ts-log-fold");
  button.type = "button";
  button.setAttribute("aria-expanded", String(!state.shut.has(line.number)));
  button.append(...nodes(line.head, state.term));
  button.addEventListener("click", () => {
    if (!state.shut.delete(line.number)) state.shut.add(line.number);
    setFollow(false);
    state.visible = state.lines.filter((each) => !isShut(each));
    const at = state.visible.indexOf(line);
    show(at, list.children[at - state.begin]?.offsetTop - box.scrollTop);
    document.getElementById(nameOf(line))?.querySelector("button").focus();
  });
  return button;
}

const nameOf = (line) => `a${state.attempt}-L${line.number}`;

// Have the line at a place of `visible` in the page, so far from the top of the box; in the middle if nothing is said.
function show(at, top = box.clientHeight / 2) {
  const begin = Math.max(0, Math.min(at - WINDOW / 2, state.visible.length - WINDOW));
  draw(begin, Math.min(state.visible.length, begin + WINDOW));
  const item = list.children[at - begin];
  if (item) box.scrollTop = item.offsetTop - (Number.isFinite(top) ? top : 0);
}

// What came since the last frame: at the end, without drawing the rest again.
function update() {
  state.drawing = false;
  const wasAtEnd = state.end >= state.visible.length;
  forget();
  const last = state.visible.at(-1);
  if (last && !last.gap && last.drawn !== undefined && last.drawn !== last.text.length && wasAtEnd) list.lastElementChild?.replaceWith(row(last));
  for (const line of state.lines.slice(state.known)) if (!isShut(line)) state.visible.push(line);
  state.known = state.lines.length;
  if (!wasAtEnd) return;
  const fresh = state.visible.slice(state.end);
  list.append(...(state.follow ? fresh.slice(-WINDOW) : fresh.slice(0, WINDOW - list.children.length)).map(row));
  if (!state.follow) { state.end = state.begin + list.children.length; return; }
  state.end = state.visible.length;
  while (list.children.length > WINDOW) list.firstElementChild.remove();
  state.begin = state.end - list.children.length;
  box.scrollTop = box.scrollHeight;
}

function soon() {
  if (state.drawing) return;
  state.drawing = true;
  requestAnimationFrame(update);
}

// Near an edge of the window, move it on; what is read stays where it is.
function slide() {
  const nearTop = box.scrollTop < 200 && state.begin > 0;
  const nearEnd = box.scrollTop + box.clientHeight > box.scrollHeight - 200 && state.end < state.visible.length;
  if (!nearTop && !nearEnd) return;
  const anchor = nearTop ? list.firstElementChild : list.lastElementChild;
  const at = nearTop ? state.begin : state.end - 1;
  const top = anchor.offsetTop - box.scrollTop;
  const begin = Math.max(0, nearTop ? state.begin - STEP : Math.min(state.begin + STEP, state.visible.length - WINDOW));
  draw(begin, Math.min(state.visible.length, begin + WINDOW));
  box.scrollTop = list.children[at - begin].offsetTop - top;
}

// --- reading

function* eventsIn(text) {
  for (const block of text.split("\n\n")) {
    const fields = Object.fromEntries(block.split("\n").map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)]));
    if (fields.data) yield { kind: fields.event, at: fields.id, data: JSON.parse(fields.data) };
  }
}

// Take one event; true when it was the last of its attempt.
function take({ kind, at, data }) {
  if (kind === "ended") return data;
  state.last = at;
  if (kind === "left-out") {
    state.lines.push({ gap: `${data.bytes.toLocaleString("en")} bytes left out`, ends: true });
    state.open = false;
  } else add(data);
  soon();
  return null;
}

async function read(signal) {
  const headers = { Accept: "text/event-stream", ...(state.last && { "Last-Event-ID": state.last }) };
  const answer = await fetch(addressOf({ attempt: state.attempt }), { headers, redirect: "manual", cache: "no-store", signal });
  if (answer.type === "opaqueredirect" || answer.status === 401) return { signedOut: true };
  if (answer.status === 503) return poll(signal);
  if (!answer.ok) return { why: answer.status === 403 ? "you may no longer see it" : `the server answers ${answer.status}` };
  tell("");
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let waiting = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return {};
    state.readAt = new Date();
    const end = (waiting + value).lastIndexOf("\n\n") + 2;
    if (end < 2) { waiting += value; continue; }
    const text = (waiting + value).slice(0, end);
    waiting = (waiting + value).slice(end);
    for (const event of eventsIn(text)) {
      const ended = take(event);
      if (ended) return { ended };
    }
    say(`Following, ${countOf()}.`);
  }
}

// So many follow tasks from that process that it has no room for another: ask for pages instead.
async function poll(signal) {
  const after = state.last && { after: state.last };
  const answer = await fetch(addressOf({ attempt: state.attempt, ...after }), { redirect: "manual", cache: "no-store", signal });
  if (!answer.ok) return { why: `the server answers ${answer.status}` };
  tell("");
  const page = await answer.json();
  state.readAt = new Date();
  for (const data of page.content) {
    if (data.leftOutBefore) take({ kind: "left-out", at: state.last, data: { bytes: data.leftOutBefore } });
    take({ kind: "output", at: `${data.attempt}.${data.seq}`, data });
  }
  return page.ended ? { ended: { status: "" } } : {};
}

function tell(text, isSignedOut = false) {
  notice.hidden = !text;
  if (!isSignedOut) return notice.replaceChildren(text);
  const link = element("a", "ts-link", "Sign in again");
  link.href = `${notice.dataset.login}?next=${encodeURIComponent(location.pathname)}`;
  return notice.replaceChildren(text, " ", link);
}

const rest = (ms, signal) => new Promise((resolve) => {
  const timer = setTimeout(resolve, ms);
  signal.addEventListener("abort", () => { clearTimeout(timer); resolve(); });
});

async function keepReading(signal) {
  for (let pause = TRY_AGAIN_MS; !signal.aborted;) {
    const from = state.last;
    let found;
    try { found = await read(signal); } catch { found = { why: "the server cannot be reached" }; }
    if (signal.aborted) return;
    if (found.ended) return ended(found.ended.status, signal);
    const since = `Stale since ${state.readAt.toISOString().slice(11, 19)} UTC`;
    if (found.signedOut) tell(`${since}: you are signed out.`, true);
    else if (found.why) tell(`${since}: ${found.why}. Trying again.`);
    pause = found.why || found.signedOut ? Math.min(pause * 2, LONGEST_PAUSE_MS) : TRY_AGAIN_MS;
    await rest(state.last === from ? pause : 0, signal);
  }
}

function ended(status, signal) {
  state.isWhole = true;
  say(state.lines.length ? `Attempt ${state.attempt} has ended: ${countOf()}.` : `Attempt ${state.attempt} has ended; nothing of it is kept.`);
  if (state.lines.length < 1 || state.here) go();
  if ("running" in viewer.dataset) renewBadge(signal);
  if (status && !["SUCCESS", "FAILED", "CANCELLED"].includes(status)) waitForNext(signal);
}

// The status at the top is that of when the page was opened.
async function renewBadge(signal) {
  try {
    const answer = await fetch(location.pathname, { redirect: "manual", cache: "no-store", signal });
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    part("-badge").replaceChildren(...page.getElementById("ts-log-badge").childNodes);
  } catch { /* the line below the output says that it has ended */ }
}

// The task goes on: show its next attempt once that has written something, if this one was followed.
async function waitForNext(signal) {
  const after = `${state.attempt}.999999999999999999`;
  while (!signal.aborted) {
    await rest(NEXT_ATTEMPT_MS, signal);
    try {
      const answer = await fetch(addressOf({ after }), { redirect: "manual", signal });
      const [first] = answer.ok ? (await answer.json()).content : [];
      if (!first) continue;
      part("-attempt").append(element("option", "", String(first.attempt)));
      say(`Attempt ${state.attempt} has ended; there is attempt ${first.attempt}.`);
      if (state.follow) location.hash = `#a${first.attempt}`;
      return renewBadge(signal);
    } catch { /* it is asked again */ }
  }
}

function choose(attempt) {
  if (attempt === state.attempt) return;
  state.reading?.abort();
  Object.assign(state, { attempt, lines: [], visible: [], known: 0, last: "", open: false, begin: 0, end: 0, matches: [], match: -1, isWhole: false });
  state.shut.clear();
  list.replaceChildren();
  const select = part("-attempt");
  if (![...select.options].some((option) => option.value === String(attempt))) select.append(element("option", "", String(attempt)));
  select.value = String(attempt);
  part("-text").href = `${viewer.dataset.text}?attempt=${attempt}`;
  setFollow("running" in viewer.dataset && attempt >= Number(viewer.dataset.latest) && !state.here);
  state.reading = new AbortController();
  keepReading(state.reading.signal);
  if (state.term) look();
}

// --- places and search

function go() {
  const number = state.here;
  const line = number && (state.lines.find((each) => each.number === number) ?? state.lines.find((each) => each.number > number));
  if (!line) return;
  if (line.group) state.shut.delete(line.group.number);
  setFollow(false);
  state.visible = state.lines.filter((each) => !isShut(each));
  state.known = state.lines.length;
  show(state.visible.indexOf(line));
}

function followHash() {
  const place = /^#a(\d{1,9})(?:-L(\d{1,15}))?$/.exec(location.hash);
  state.here = Number(place?.[2] ?? 0);
  choose(Number(place?.[1] ?? viewer.dataset.latest));
  go();
}

async function look() {
  const [term, attempt] = [field.value, state.attempt];
  Object.assign(state, { term, matches: [], match: -1 });
  const found = [];
  let after = "";
  for (let pages = 0; term && pages < 100; pages += 1) {
    const answer = await fetch(addressOf({ attempt, search: term, ...(after && { after }) }), { redirect: "manual" }).catch(() => null);
    if (!answer?.ok) { part("-count").textContent = "cannot be searched now"; break; }
    const page = await answer.json();
    if (term !== state.term || attempt !== state.attempt) return;
    found.push(...page.content.map((each) => each.line));
    if (page.ended || !page.content.length || page.next === after) break;
    after = page.next;
  }
  state.matches = found;
  for (const button of search.querySelectorAll("[data-step]")) button.disabled = !found.length;
  if (found.length) step(1);
  else {
    if (term) part("-count").textContent = "no match"; else part("-count").textContent = "";
    draw(state.begin, state.end);
  }
}

function step(by) {
  const many = state.matches.length;
  if (!many) return;
  state.match = (state.match + by + many) % many;
  state.here = state.matches[state.match];
  history.replaceState(null, "", `#a${state.attempt}-L${state.here}`);
  part("-count").textContent = `${(state.match + 1).toLocaleString("en")} of ${many.toLocaleString("en")}`;
  go();
}

// --- the bar

function setFollow(on) {
  state.follow = on;
  part("-follow").setAttribute("aria-pressed", String(on));
  if (!on) return;
  rebuild();
  box.scrollTop = box.scrollHeight;
}

part("-attempt").addEventListener("change", (event) => { location.hash = `#a${event.target.value}`; });
part("-follow").addEventListener("click", () => setFollow(!state.follow));
part("-wrap").addEventListener("click", (event) => {
  const on = box.classList.toggle("ts-log-long");
  event.target.setAttribute("aria-pressed", String(!on));
});
part("-copy").addEventListener("click", async (event) => {
  await navigator.clipboard.writeText(state.lines.map((line) => line.gap ? `[${line.gap}]` : plain(line.text)).join("\n"));
  event.target.textContent = "Copied";
});
search.addEventListener("submit", (event) => {
  event.preventDefault();
  if (field.value === state.term && state.matches.length) step(1); else look();
});
field.addEventListener("search", () => { if (!field.value) look(); });
field.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !event.shiftKey) return;
  event.preventDefault();
  step(-1);
});
for (const button of search.querySelectorAll("[data-step]")) button.addEventListener("click", () => step(Number(button.dataset.step)));
for (const kind of ["wheel", "touchmove", "keydown"]) {
  box.addEventListener(kind, () => requestAnimationFrame(() => {
    if (state.follow && box.scrollTop + box.clientHeight < box.scrollHeight - 30) setFollow(false);
  }), { passive: true });
}
// Numbers are no links: nobody wants to go through a thousand of them by Tab. Search leads to lines as well.
list.addEventListener("click", (event) => {
  const number = event.target.closest(".ts-log-number");
  if (number) location.hash = `#${number.parentElement.id}`;
});
box.addEventListener("scroll", slide, { passive: true });
addEventListener("hashchange", followHash);
if (part("-attempt").options.length) followHash();
