// SPDX-License-Identifier: BSD-3-Clause
// Buttons that start, stop, cancel and delete: sent without leaving the page. The stream then shows what changes.
import { fetchFragment, morph } from "./fragments.js";

/** Send forms with ``data-act`` in the background; starting leads to the lab's page as it does without scripts. */
export function sendActs() {
  addEventListener("submit", async (event) => {
    const form = event.target;
    if (!form.dataset.act || form.dataset.act === "start") return;
    event.preventDefault();
    const button = form.querySelector("button");
    if (button.getAttribute("aria-disabled") === "true") return;
    button.setAttribute("aria-disabled", "true");
    try {
      const answer = await fetchFragment(form.getAttribute("action"), { method: "POST", body: new URLSearchParams(new FormData(form)) });
      if (!answer) return location.reload();
      if (refused(form, answer)) return;
      dispatchEvent(new CustomEvent("jsc-acted"));
      if (form.dataset.act === "delete" && document.getElementById("lab")) location.assign(document.querySelector(".jsc-back").href);
    } catch {
      form.closest("article, .jsc-lab")?.prepend(sentence("The portal does not answer. Check your network and try again."));
    } finally {
      button.removeAttribute("aria-disabled");
    }
  });
}

function refused(form, answer) {
  const notice = answer.querySelector(".alert");
  if (!notice) return false;
  const lab = document.getElementById("lab");
  if (lab) morph(lab, answer.firstElementChild);
  else form.closest("article")?.prepend(sentence(notice.textContent));
  return true;
}

function sentence(text) {
  const line = document.createElement("p");
  line.className = "alert alert-warning";
  line.setAttribute("role", "alert");
  line.textContent = text;
  return line;
}
