/* Runs before the page is painted, or a dark page would flash white. A plain script: modules run later. */
(() => {
  const NAME = "chat.theme";
  const root = document.documentElement;
  const read = () => {
    try {
      return localStorage.getItem(NAME);
    } catch {
      return null; // storage is forbidden: the system's choice it is
    }
  };
  const theme = read();
  if (theme === "light" || theme === "dark") root.dataset.theme = theme;

  const isDark = () =>
    root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;

  document.addEventListener("click", (event) => {
    if (!event.target.closest?.("[data-theme-toggle]")) return;
    root.dataset.theme = isDark() ? "light" : "dark";
    try {
      localStorage.setItem(NAME, root.dataset.theme);
    } catch {
      // It holds for this page.
    }
  });
})();
