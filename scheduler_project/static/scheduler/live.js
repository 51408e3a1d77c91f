// Keeps the part of a page that is marked data-live="<seconds>" up to date while somebody looks at it. Elements that stay
// keep focus, selection and scroll. When it cannot be kept up to date, the notice says since when, and why.
const live = document.querySelector("[data-live]");
const notice = document.getElementById("ts-live-notice");
const LONGEST_ANSWER_MS = 10_000;
const LONGEST_PAUSE_S = 60;
let pause = Number(live?.dataset.live);
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

// What is new, or why there is none. Being sent elsewhere can only mean the login page.
async function fetchNew() {
  const answer = await fetch(location.href, {
    headers: { "X-Live": "1" },
    redirect: "manual",
    cache: "no-store",
    signal: AbortSignal.timeout(LONGEST_ANSWER_MS),
  });
  if (answer.type === "opaqueredirect" || answer.status === 401) return { signedOut: true };
  if (!answer.ok) return { why: answer.status === 403 ? "you may no longer see it" : `the server answers ${answer.status}` };
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  return { part: page.getElementById(live.id) };
}

async function ask() {
  const since = `Stale since ${live.dataset.asOf}`;
  try {
    const { part, signedOut, why } = await fetchNew();
    if (part) {
      Idiomorph.morph(live, part, { ignoreActiveValue: true });
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

async function keepUp() {
  if (document.visibilityState === "visible") {
    const fresh = await refresh();
    pause = fresh ? Number(live.dataset.live) : Math.min(pause * 2, LONGEST_PAUSE_S);
  }
  setTimeout(keepUp, pause * 1000);
}

if (live) {
  setTimeout(keepUp, pause * 1000);
  for (const event of ["online", "visibilitychange"]) {
    addEventListener(event, () => document.visibilityState === "visible" && refresh());
  }
}
