// SPDX-License-Identifier: BSD-3-Clause
// Hides announcements that the user has put away, before anything is painted; loaded as a blocking script for that reason.
"use strict";
(() => {
  const key = "jsc-dismissed";
  const sheet = new CSSStyleSheet();
  let ids = [];
  try {
    ids = JSON.parse(sessionStorage.getItem(key)) ?? [];
  } catch {
    // Nothing was put away, or it cannot be kept.
  }
  const hide = () => sheet.replaceSync(ids.map((id) => `[data-notice="${CSS.escape(id)}"] { display: none; }`).join("\n"));
  hide();
  document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
  addEventListener("click", (event) => {
    const id = event.target.closest?.("[data-dismiss]")?.dataset.dismiss;
    if (!id) return;
    ids.push(id);
    hide();
    document.getElementById("content")?.focus();
    try {
      sessionStorage.setItem(key, JSON.stringify(ids));
    } catch {
      // Without storage it stays hidden on this page alone.
    }
  });
})();
