// SPDX-License-Identifier: BSD-3-Clause
// Keeps the page up to date while somebody looks at it, shows times in the browser's zone, copies a story.
// Without it every page works, by reload.

const EVERY_MS = 10000;
const shown = { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false };

/** Show times in the browser's own zone. */
function localTimes(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const when = new Date(time.dateTime);
    if (Number.isNaN(when.valueOf())) continue;
    time.title = when.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
    if ("clock" in time.dataset) time.textContent = when.toLocaleTimeString([], shown);
  }
}

/** Say something to those who do not see the page. */
function say(text) {
  document.getElementById("said").textContent = text;
}

/** Close open menus on Escape and when the user turns to something else. */
function closeMenus() {
  const close = (except) => {
    for (const menu of document.querySelectorAll("details.jsc-menu[open]")) {
      if (!menu.contains(except)) menu.open = false;
    }
  };
  addEventListener("click", (event) => close(event.target));
  addEventListener("focusin", (event) => close(event.target));
  addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    const menu = document.activeElement?.closest("details.jsc-menu[open]");
    close(null);
    menu?.querySelector("summary").focus();
  });
}

/** Whether a change of the page would disturb: something is being typed or selected. */
function isBusy() {
  const active = document.activeElement;
  const typing = active?.matches("input, select, textarea") && document.getElementById("live").contains(active);
  return typing || !getSelection().isCollapsed || document.hidden;
}

/** Fetch the page again and change what has changed; what is open stays open. */
async function refresh() {
  if (isBusy()) return;
  const response = await fetch(location.href, { credentials: "same-origin", signal: AbortSignal.timeout(30000) });
  if (response.status === 401) location.reload();
  if (!response.ok || isBusy()) return;
  const wanted = new DOMParser().parseFromString(await response.text(), "text/html").getElementById("live");
  if (!wanted) return;
  localTimes(wanted);
  globalThis.Idiomorph.morph(document.getElementById("live"), wanted.innerHTML, {
    morphStyle: "innerHTML",
    callbacks: {
      beforeAttributeUpdated: (name, node) => !(name === "open" && node.tagName === "DETAILS"),
    },
  });
}

/** Refresh for ever; a portal that does not answer is asked again. */
function follow() {
  setTimeout(async () => {
    try {
      await refresh();
    } catch {
      // The next round asks again; what is shown says itself how old it is.
    }
    follow();
  }, EVERY_MS);
}

addEventListener("click", async (event) => {
  const button = event.target.closest?.("[data-copy]");
  if (!button) return;
  const text = document.getElementById(button.dataset.copy);
  try {
    await navigator.clipboard.writeText(text.textContent);
    say("Copied");
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy as text"; }, 2000);
  } catch {
    // The clipboard is closed without TLS, or by the user: select the text, so that one key copies it.
    text.closest("details").open = true;
    getSelection().selectAllChildren(text);
    text.focus();
  }
});

closeMenus();
localTimes(document);
follow();
