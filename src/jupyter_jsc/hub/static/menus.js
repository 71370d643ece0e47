// SPDX-License-Identifier: BSD-3-Clause
// Menus are <details>: they open without a script; this closes them on Escape and on a click elsewhere.

/** Close open menus when the user turns to something else. */
export function closeMenus() {
  const close = (except) => {
    for (const menu of document.querySelectorAll("details.jsc-menu[open]")) {
      if (!menu.contains(except)) menu.open = false;
    }
  };
  addEventListener("click", (event) => {
    close(event.target);
    const menu = event.target.closest("[data-theme]")?.closest("details");
    if (!menu) return;
    menu.open = false;
    menu.querySelector("summary").focus();
  });
  addEventListener("focusin", (event) => close(event.target));
  addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    const menu = document.activeElement?.closest("details.jsc-menu[open]");
    close(null);
    menu?.querySelector("summary").focus();
  });
}
