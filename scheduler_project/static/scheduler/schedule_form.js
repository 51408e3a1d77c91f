// The form of a schedule: shows only the fields of the chosen kind, and what the fields would do, while they are filled in.
// The server computes and checks; nothing here knows what a cron expression is.
const form = document.getElementById("schedule-form");
const panel = document.getElementById("schedule-preview");
const KINDS = ["cron", "interval_seconds", "rrule"];
const WATCHED = ["repeat", ...KINDS, "timezone", "jitter_seconds", "start_at", "end_at", "dst_gap", "dst_fold", "calendars"];
const PAUSE_MS = 250;
let waiting = null;
let asking = null;

const part = (name) => panel.querySelector(`[data-part="${name}"]`);
const fieldOf = (name) => form.querySelector(`[name="${name}"]`)?.closest(".ts-field");

function showChosen() {
  const chosen = form.elements.repeat.value;
  for (const kind of KINDS) fieldOf(kind).hidden = kind !== chosen;
  for (const [title, made] of [["Task", "task"], ["Batch", "batch"]]) {
    form.querySelector(`section[aria-label="${title}"]`).hidden = form.elements.makes.value !== made;
  }
  fieldOf("misfire_max_runs").hidden = form.elements.misfire_policy.value !== "run_all";
}

function showTimes(name, times) {
  part(name).replaceChildren(...times.map((time) => {
    const item = document.createElement("li");
    for (const [text, style] of [[time.local, ""], [time.utc, "ts-dim"], [time.note, "ts-mark"]]) {
      if (!text) continue;
      const piece = document.createElement("span");
      piece.className = style;
      piece.textContent = text;
      item.append(piece, " ");
    }
    return item;
  }));
}

function showProblems(problems) {
  for (const name of WATCHED) {
    const field = fieldOf(name);
    if (!field) continue;
    field.querySelectorAll(".ts-problem").forEach((old) => old.remove());
    const input = field.querySelector("input, select");
    const empty = KINDS.includes(name) && !input.value;
    const texts = empty ? [] : problems[name] || [];
    field.classList.toggle("ts-wrong", texts.length > 0);
    input.toggleAttribute("aria-invalid", texts.length > 0);
    texts.forEach((text, index) => {
      const line = document.createElement("p");
      line.className = "ts-problem";
      line.id = `problem-${name}-${index}`;
      line.textContent = text;
      field.append(line);
      input.setAttribute("aria-describedby", line.id);
    });
    if (!texts.length) input.removeAttribute("aria-describedby");
  }
}

function show(answer) {
  const kind = form.elements.repeat.value;
  const wrong = Object.keys(answer.problems).length > 0;
  const words = answer.explanation || (form.elements[kind].value ? "Not readable yet: see the marked field." : "Say when it repeats.");
  part("explanation").textContent = wrong || answer.fires.length ? words : `${words}. No time of it is left.`;
  showTimes("fires", answer.fires);
  showTimes("changes", answer.changes);
  part("changes-block").hidden = answer.changes.length === 0;
  showProblems(answer.problems);
}

async function ask() {
  asking?.abort();
  const mine = (asking = new AbortController());
  const body = new FormData();
  for (const [name, value] of new FormData(form)) if (WATCHED.includes(name)) body.append(name, value);
  const headers = { "X-CSRFToken": form.elements.csrfmiddlewaretoken.value };
  try {
    const response = await fetch(form.dataset.preview, { method: "POST", body, headers, signal: mine.signal });
    if (!response.ok || response.redirected) throw new Error(String(response.status));
    const answer = await response.json();
    if (mine === asking) show(answer);
  } catch (error) {
    if (error.name === "AbortError") return;
    part("explanation").textContent = "The preview cannot be had at the moment. Saving still checks everything.";
    showTimes("fires", []);
    part("changes-block").hidden = true;
  }
}

form.addEventListener("input", (event) => {
  showChosen();
  if (!WATCHED.includes(event.target.name)) return;
  clearTimeout(waiting);
  waiting = setTimeout(ask, PAUSE_MS);
});
showChosen();
// After a refusal the server's own problems stand at the fields until something is typed.
if (!form.querySelector(".ts-problem")) ask();
