// SPDX-License-Identifier: BSD-3-Clause
// Buttons that start, stop, cancel and delete, and the choice of a group: sent without leaving the page. The stream
// then shows what changes.
import { fetchFragment, morph } from "./fragments.js";

/** Send forms with ``data-act`` in the background; starting leads to the lab's page as it does without scripts. */
export function sendActs() {
  addEventListener("submit", async (event) => {
    const form = event.target;
    if (!form.dataset.act) return;
    const button = event.submitter ?? form.querySelector("button");
    const disabled = button.getAttribute("aria-disabled") === "true";
    if (disabled || form.dataset.act !== "start") event.preventDefault();
    if (disabled || form.dataset.act === "start") return;
    button.setAttribute("aria-disabled", "true");
    try {
      const answer = await fetchFragment(form.getAttribute("action"), { method: "POST", body: new URLSearchParams(new FormData(form)) });
      if (!answer) return location.reload();
      if (refused(form, answer)) return;
      closeMenu(form);
      dispatchEvent(new CustomEvent("jsc-acted"));
      if (form.dataset.act === "delete" && document.getElementById("lab")) location.assign(document.querySelector(".jsc-back").href);
    } catch {
      place(form)?.prepend(sentence("The portal does not answer. Check your network and try again."));
    } finally {
      button.removeAttribute("aria-disabled");
    }
  });
}

function place(form) {
  return form.closest("article, .jsc-lab, .jsc-groups, .jsc-panel");
}

function closeMenu(form) {
  const menu = form.closest("#user-details");
  if (!menu) return;
  menu.open = false;
  menu.querySelector("summary").focus();
}

function refused(form, answer) {
  const notice = answer.querySelector(".alert");
  if (!notice) return false;
  const lab = document.getElementById("lab");
  if (lab) morph(lab, answer.firstElementChild);
  else place(form)?.prepend(sentence(notice.textContent));
  return true;
}

function sentence(text) {
  const line = document.createElement("p");
  line.className = "alert alert-warning";
  line.setAttribute("role", "alert");
  line.textContent = text;
  return line;
}
