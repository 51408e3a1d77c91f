// Keeps the part of a page that is marked data-live="<seconds>" up to date while somebody looks at it. What is read or
// filled in stays: focus, selection, scroll, what is folded out, and forms that somebody has begun to fill in. When the part
// cannot be kept up to date, the notice says since when, and why.
const live = document.querySelector("[data-live]");
const notice = document.getElementById("ts-live-notice");
const LONGEST_ANSWER_MS = 10_000;
const LONGEST_PAUSE_S = 60;
// A page that takes long is asked for less often: looking may cost the server a twentieth of its time, no more.
const REST = 20;
let fails = 0;
let took = 0;
let asking = null;

function tell(text, link) {
  notice.hidden = !text;
  if (notice.firstChild?.textContent !== text) notice.replaceChildren(...(link ? [text, link] : [text]));
}

function signIn() {
  const link = document.createElement("a");
  link.className = "ts-link";
  link.href = `${notice.dataset.login}?next=${encodeURIComponent(location.pathname + location.search)}`;
  link.textContent = "Sign in again";
  return link;
}

const WHY = { 403: "you may no longer see it", 404: "it is gone", 410: "it is gone" };

// What is new, or why there is none. Being sent elsewhere can only mean the login page.
async function fetchNew() {
  const answer = await fetch(location.href, {
    headers: { "X-Live": "1" },
    redirect: "manual",
    cache: "no-store",
    signal: AbortSignal.timeout(LONGEST_ANSWER_MS),
  });
  if (answer.type === "opaqueredirect" || answer.status === 401) return { signedOut: true };
  if (!answer.ok) return { why: WHY[answer.status] || `the server answers ${answer.status}` };
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const [part, pages, banner] = [live.id, "ts-pages", "ts-banner"].map((id) => page.getElementById(id));
  if (banner) Idiomorph.morph(document.getElementById("ts-banner"), banner);
  return { part, pages };
}

function isChanged(control) {
  if (control.matches("[type=checkbox], [type=radio]")) return control.checked !== control.defaultChecked;
  if (control.matches("select")) {
    const begun = [...control.options].findIndex((option) => option.defaultSelected);
    return !control.multiple && control.selectedIndex !== Math.max(begun, 0);
  }
  return control.matches("input, textarea") && control.value !== control.defaultValue;
}

// What people fold out and choose, and what scripts set: the server's part knows none of it.
function isOurs(name, node) {
  if (name === "open") return node.matches("details, dialog");
  if (name === "checked" || name === "selected") return node.closest("#changelist-form") !== null;
  return name === "style" || name === "x-cloak" || (name === "class" && node.matches("tr, [x-bind\\:class]"));
}

const isBegun = (form) => form.id !== "changelist-form" && [...form.elements].some(isChanged);

const KEEPING = {
  ignoreActiveValue: true,
  callbacks: {
    beforeNodeMorphed: (node) => !(node.nodeName === "FORM" && isBegun(node)),
    beforeAttributeUpdated: (name, node) => !isOurs(name, node),
  },
};

// What has been scrolled; an element that is moved to another place begins at its top again.
const scrolled = new Set();

function morph(part) {
  const places = [...scrolled].filter((box) => box.isConnected).map((box) => [box, box.scrollTop, box.scrollLeft]);
  Idiomorph.morph(live, part, KEEPING);
  for (const [box, top, left] of places) if (box.scrollTop !== top || box.scrollLeft !== left) box.scrollTo(left, top);
}

// A list. While somebody has chosen a row, stands in one or points at one, none may come, go, or change its place under
// the hand: those that are there are kept up to date, and a button brings the others.
const fresh = document.getElementById("ts-fresh");

function isInUse() {
  const rows = live.querySelector("tbody");
  if (!rows || rows.querySelector(":checked") || rows.contains(document.activeElement)) return Boolean(rows);
  const selection = getSelection();
  return rows.matches(":hover") || (!selection.isCollapsed && rows.contains(selection.anchorNode));
}

function moveRows(part, pages) {
  const ids = (place) => new Set([...place.querySelectorAll("tbody > tr")].map((row) => row.id));
  const [shown, now] = [ids(live), ids(part)];
  const came = [...now].filter((id) => !shown.has(id)).length;
  const went = [...shown].filter((id) => !now.has(id));
  if (!isInUse()) bring(part, pages);
  else {
    for (const row of live.querySelectorAll("tbody > tr")) {
      const next = now.has(row.id) && part.querySelector(`#${CSS.escape(row.id)}`);
      row.classList.toggle("ts-went", !next);
      if (next) Idiomorph.morph(row, next, KEEPING);
    }
    live.dataset.asOf = part.dataset.asOf;
    offer(came, went.length, () => bring(part, pages));
  }
  live.dispatchEvent(new Event("ts:moved"));
}

function bring(part, pages) {
  morph(part);
  if (pages) Idiomorph.morph(document.getElementById("ts-pages"), pages);
  live.dispatchEvent(new Event("ts:moved"));
  offer(0, 0);
}

function offer(came, went, act) {
  const words = [came && `${came} new`, went && `${went} no longer in this list`].filter(Boolean).join(", ");
  if (!words) return fresh.replaceChildren();
  const button = fresh.querySelector("button") || document.createElement("button");
  button.type = "button";
  button.className = "ts-button";
  button.textContent = `${words}: show the list as it is now`;
  button.onclick = act;
  if (!button.isConnected) fresh.replaceChildren(button);
}

async function ask() {
  const since = `Stale since ${live.dataset.asOf}`;
  const began = performance.now();
  try {
    const { part, pages, signedOut, why } = await fetchNew();
    took = performance.now() - began;
    if (part) {
      if (fresh) moveRows(part, pages);
      else if (!live.querySelector("dialog[open]")) morph(part); // it is about what was shown
      tell("");
      return true;
    }
    if (signedOut) tell(`${since}: you are signed out. `, signIn());
    else tell(`${since}: ${why || "the answer cannot be read"}. Trying again.`);
  } catch {
    tell(`${since}: the server cannot be reached. Trying again.`);
  }
  return false;
}

function refresh() {
  asking ??= ask().finally(() => { asking = null; });
  return asking;
}

function pause() {
  const wanted = Math.max(Number(live.dataset.live), (took * REST) / 1000);
  return fails ? Math.min(wanted * 2 ** fails, LONGEST_PAUSE_S) : wanted;
}

async function keepUp() {
  if (document.visibilityState === "visible") fails = (await refresh()) ? 0 : fails + 1;
  setTimeout(keepUp, pause() * 1000);
}

if (live) {
  live.addEventListener("scroll", (event) => scrolled.add(event.target), true);
  setTimeout(keepUp, pause() * 1000);
  for (const event of ["online", "visibilitychange"]) {
    addEventListener(event, () => document.visibilityState === "visible" && refresh());
  }
}
