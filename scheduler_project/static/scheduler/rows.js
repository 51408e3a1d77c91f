// Choosing rows of a list: one, all, or a range with Shift. Heard of where the list lies, so that rows which come later, while
// the list moves, are chosen as those that were there.
const list = document.getElementById("ts-list");
const BOX = "input.action-select";
let last = null;

const boxes = () => [...list.querySelectorAll(BOX)];

function between(one, other) {
  const all = boxes();
  const [from, to] = [all.indexOf(one), all.indexOf(other)].sort((a, b) => a - b);
  return from < 0 ? [other] : all.slice(from, to + 1);
}

function show() {
  const all = boxes();
  const chosen = all.filter((box) => box.checked);
  for (const box of all) box.closest("tr").classList.toggle("selected", box.checked);
  const toggle = document.getElementById("action-toggle");
  if (toggle) {
    toggle.checked = chosen.length > 0 && chosen.length === all.length;
    toggle.indeterminate = chosen.length > 0 && !toggle.checked;
  }
  const counter = list.querySelector(".action-counter");
  if (counter) counter.textContent = `${chosen.length} of ${all.length} selected`;
}

let range = false;
list.addEventListener("click", (event) => { range = event.shiftKey; }, true);
list.addEventListener("change", ({ target }) => {
  if (target.id === "action-toggle") for (const box of boxes()) box.checked = target.checked;
  else if (target.matches(BOX)) {
    if (range) for (const box of between(last, target)) box.checked = target.checked;
    last = target;
  } else return;
  show();
});
list.addEventListener("ts:moved", show);
addEventListener("pageshow", show);
