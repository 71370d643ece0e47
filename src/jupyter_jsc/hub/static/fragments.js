// SPDX-License-Identifier: BSD-3-Clause
// Fetches pieces of a page, and makes the piece that is shown into the new one, keeping focus, what is open
// and what is being typed. The templates are the only source of markup.

const HEADER = "X-JSC-Fragment";
const REST_MS = 1000;
const resting = new WeakSet();
const shown = { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false };

/** Show times in the browser's own zone. */
export function localTimes(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const when = new Date(time.dateTime);
    if (Number.isNaN(when.valueOf())) continue;
    time.title = when.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
    if ("clock" in time.dataset) time.textContent = when.toLocaleTimeString([], shown);
  }
}

/** Fetch a fragment; null if the answer is none (logged out, gone): then the page must be loaded anew. */
export async function fetchFragment(url, options = {}) {
  const headers = { [HEADER]: "1", ...options.headers };
  const signal = options.signal ?? AbortSignal.timeout(30000);
  const response = await fetch(url, { credentials: "same-origin", ...options, headers, signal });
  if (!response.headers.has(HEADER)) {
    if (response.status >= 500) throw new Error(`HTTP ${response.status}`);
    return null;
  }
  const parsed = new DOMParser().parseFromString(await response.text(), "text/html").body;
  localTimes(parsed);
  return parsed;
}

/** Make *shown* into *wanted*; what the user opened stays open. */
export function morph(element, wanted) {
  const before = element.dataset.state;
  const active = document.activeElement;
  const inside = element.contains(active);
  globalThis.Idiomorph.morph(element, wanted.outerHTML, {
    morphStyle: "outerHTML",
    // Only what is being typed is left alone: a focused button must say what it now does.
    ignoreActiveValue: Boolean(active?.matches("input, select, textarea")),
    callbacks: {
      beforeAttributeUpdated: (name, node) => !(name === "open" && node.tagName === "DETAILS") && !(name === "aria-disabled" && resting.has(node)),
    },
  });
  const now = document.getElementById(wanted.id);
  // A button that went away leaves the focus near: on the lab's name, where Enter starts and stops nothing.
  if (now && inside && !now.contains(document.activeElement)) now.querySelector("h1, h2 a")?.focus();
  if (now && before && now.dataset.state !== before) {
    rest(now);
    now.classList.add("jsc-changed");
    now.addEventListener("animationend", () => now.classList.remove("jsc-changed"), { once: true });
  }
}

/** Let a Start button that has just come do nothing for a moment: the click may have been meant for what was there. */
function rest(lab) {
  for (const button of lab.querySelectorAll('form[data-act="start"] button')) {
    resting.add(button);
    button.setAttribute("aria-disabled", "true");
    setTimeout(() => {
      resting.delete(button);
      if (!button.hasAttribute("aria-describedby")) button.removeAttribute("aria-disabled");
    }, REST_MS);
  }
}
