// The parts of Alpine that the pages use, by name. Alpine's build for a strict Content-Security-Policy parses expressions
// itself instead of handing them to eval, and so knows only what is registered here: no globals, one expression each.
document.addEventListener("alpine:init", () => {
  // Written by django-unfold, in its app.js.
  for (const name of ["theme", "searchForm", "searchDropdown"]) Alpine.data(name, window[name]);

  // Enter opens what was found for what is typed now, and waits for it when it is on its way.
  Alpine.data("searchCommand", () => ({
    ...window.searchCommand(),
    waits: false,
    isFound() {
      const list = document.getElementById("command-results-list");
      return list !== null && list.dataset.for === this.$refs.searchInputCommand.value.trim();
    },
    handleEnter(event) {
      if (event.metaKey || event.ctrlKey) return;
      this.waits = !this.isFound();
      if (!this.waits && this.totalItems) this.selectItem(false, false);
    },
    handleContentLoaded(event) {
      this.items = document.querySelectorAll("#command-results-list li");
      this.totalItems = this.items.length;
      this.hasResults = this.totalItems > 0;
      this.currentIndex = this.hasResults ? 1 : 0;
      if (this.waits && this.isFound()) this.handleEnter(event);
    },
    handleAnswer(event) {
      const { xhr } = event.detail;
      const note = document.getElementById("command-results-note");
      if (!xhr.status) note.textContent = "The server cannot be reached.";
      else if (!new URL(xhr.responseURL).pathname.endsWith("/search/")) note.textContent = "You are signed out.";
      else if (xhr.status >= 400) note.textContent = `The server answers ${xhr.status}.`;
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
