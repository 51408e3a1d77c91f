// The parts of Alpine that the pages use, by name. Alpine's build for a strict Content-Security-Policy parses expressions
// itself instead of handing them to eval, and so knows only what is registered here: no globals, one expression each.
document.addEventListener("alpine:init", () => {
  // Written by django-unfold, in its app.js.
  for (const name of ["theme", "searchForm", "searchDropdown"]) Alpine.data(name, window[name]);

  Alpine.data("searchCommand", () => ({
    ...window.searchCommand(),
    handleEnter(event, addHistory) {
      if (!event.metaKey && !event.ctrlKey) this.selectItem(addHistory, false);
    },
  }));

  Alpine.data("page", (tab = "") => ({
    activeTab: getCurrentTab() || tab,
    sidebarMobileOpen: false,
    sidebarDesktopOpen: localStorage.getItem("sidebarDesktopOpen") !== "0",
    // The form of a model of django-unfold asks for these two.
    window: { location: { pathname: location.pathname, search: location.search } },
    init() {
      this.$watch("sidebarDesktopOpen", (open) => localStorage.setItem("sidebarDesktopOpen", open ? "1" : "0"));
    },
  }));

  // A button with a dialog that asks before it posts.
  Alpine.data("asking", () => ({
    ask() { this.$refs.dialog.showModal(); },
    leave() { this.$refs.dialog.close(); },
  }));

  // A secret to take along.
  Alpine.data("copying", () => ({
    copied: false,
    copy() { navigator.clipboard.writeText(this.$refs.secret.textContent).then(() => { this.copied = true; }); },
  }));
});

// Names for what scrolls: SimpleBar calls each of them the same. It begins once the page is there, after this.
const SCROLLING = { "nav-sidebar-apps": "Navigation", "changelist-form": "Rows", "command-results": "Results" };
for (const [id, name] of Object.entries(SCROLLING)) {
  const place = document.getElementById(id);
  place?.closest("[data-simplebar]")?.setAttribute("data-simplebar-aria-label", name);
  place?.querySelector("[data-simplebar]")?.setAttribute("data-simplebar-aria-label", name);
}

// The two lists of Django's selector have help that is a picture with a name.
addEventListener("load", () => {
  for (const help of document.querySelectorAll(".search-label-icon[aria-label]")) help.setAttribute("role", "img");
});

// A choice in the bar of filters is applied at once.
document.addEventListener("change", (event) => {
  if (event.target.matches("[data-submits]")) event.target.form.requestSubmit();
});
