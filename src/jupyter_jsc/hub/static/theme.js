// SPDX-License-Identifier: BSD-3-Clause
// Applies the theme before anything is painted; loaded as a blocking script for that reason.
// The name in localStorage is JupyterHub's own, so that both agree.
"use strict";
(() => {
  const key = "jupyterhub-bs-theme";
  const system = matchMedia("(prefers-color-scheme: dark)");
  const chosen = () => {
    try {
      return localStorage.getItem(key) || "auto";
    } catch {
      return "auto";
    }
  };
  const apply = () => {
    const theme = chosen();
    const dark = theme === "dark" || (theme !== "light" && system.matches);
    document.documentElement.dataset.bsTheme = dark ? "dark" : "light";
    for (const button of document.querySelectorAll("[data-theme]")) {
      button.setAttribute("aria-pressed", String(button.dataset.theme === theme));
    }
  };
  apply();
  document.documentElement.classList.add("jsc-scripted");
  system.addEventListener("change", apply);
  addEventListener("storage", apply);
  addEventListener("DOMContentLoaded", apply);
  addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-theme]");
    if (!button) return;
    try {
      localStorage.setItem(key, button.dataset.theme);
    } catch {
      // Without storage the choice cannot be kept.
    }
    apply();
  });
})();
