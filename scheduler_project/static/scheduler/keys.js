// Keys for those who do not want to reach for the mouse. Single letters can be switched off, for those whose software speaks
// in them (WCAG 2.1.4); none is heard while somebody types, or while a question is open.
const sheet = document.getElementById("ts-keys");
const SWITCH = "singleKeys";
const rows = () => [...document.querySelectorAll("#result_list tbody tr")];

function find() {
  dispatchEvent(new CustomEvent("opencommand"));
}

function step(by) {
  const all = rows();
  const at = all.findIndex((row) => row.contains(document.activeElement));
  const next = all[at < 0 ? (by > 0 ? 0 : all.length - 1) : at + by];
  (next?.querySelector("th a") || next?.querySelector("a, input"))?.focus();
}

const KEYS = {
  "/": () => {
    const box = document.querySelector(".ts-search");
    if (box) box.select();
    else find();
  },
  "?": () => sheet.showModal(),
  j: () => step(1),
  k: () => step(-1),
  x: () => document.activeElement.closest?.("#result_list tbody tr")?.querySelector("input.action-select")?.click(),
};

function isTyping(target) {
  return target.isContentEditable || target.matches("textarea, select, input:not([type=checkbox], [type=radio], [type=button])");
}

if (sheet) {
  addEventListener("keydown", (event) => {
    if (event.altKey || event.isComposing) return;
    if (event.ctrlKey || event.metaKey) {
      // django-unfold hears it everywhere but in fields.
      if (event.key !== "k" || !isTyping(event.target) || event.target.id === "search-input-command") return;
      event.preventDefault();
      find();
      return;
    }
    const act = KEYS[event.key];
    if (!act || isTyping(event.target) || localStorage.getItem(SWITCH) === "off") return;
    if (document.querySelector("dialog[open]")) return;
    event.preventDefault();
    act();
  });
  const box = sheet.querySelector("[data-single-keys]");
  box.checked = localStorage.getItem(SWITCH) !== "off";
  box.addEventListener("change", () => localStorage.setItem(SWITCH, box.checked ? "on" : "off"));
  sheet.querySelector("[data-close]").addEventListener("click", () => sheet.close());
  for (const button of document.querySelectorAll("[data-find]")) button.addEventListener("click", find);
  for (const button of document.querySelectorAll("[data-keys]")) button.addEventListener("click", () => sheet.showModal());
}
