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
  return { part: page.getElementById(live.id) };
}

function isChanged(control) {
  if (control.matches("[type=checkbox], [type=radio]")) return control.checked !== control.defaultChecked;
  if (control.matches("select")) {
    const begun = [...control.options].findIndex((option) => option.defaultSelected);
    return !control.multiple && control.selectedIndex !== Math.max(begun, 0);
  }
  return control.matches("input, textarea") && control.value !== control.defaultValue;
}

const KEEPING = {
  ignoreActiveValue: true,
  callbacks: {
    beforeNodeMorphed: (node) => !(node.nodeName === "FORM" && [...node.elements].some(isChanged)),
    // What people fold out and choose, and what scripts set: the server's part knows none of it.
    beforeAttributeUpdated: (name, node) =>
      !(name === "style" || name === "checked" || (name === "open" && node.matches("details, dialog"))),
  },
};

// What has been scrolled; an element that is moved to another place begins at its top again.
const scrolled = new Set();

function morph(part) {
  const places = [...scrolled].filter((box) => box.isConnected).map((box) => [box, box.scrollTop, box.scrollLeft]);
  Idiomorph.morph(live, part, KEEPING);
  for (const [box, top, left] of places) if (box.scrollTop !== top || box.scrollLeft !== left) box.scrollTo(left, top);
}

async function ask() {
  const since = `Stale since ${live.dataset.asOf}`;
  const began = performance.now();
  try {
    const { part, signedOut, why } = await fetchNew();
    took = performance.now() - began;
    if (part) {
      if (!live.querySelector("dialog[open]")) morph(part); // it is about what was shown
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
