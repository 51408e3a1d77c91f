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

// A choice in the bar of filters is applied at once.
document.addEventListener("change", (event) => {
  if (event.target.matches("[data-submits]")) event.target.form.requestSubmit();
});
