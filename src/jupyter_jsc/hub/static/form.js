// SPDX-License-Identifier: BSD-3-Clause
// The form's dependent fields: after each change, and whenever what is possible has changed, the hub completes what was
// typed and answers the form anew.
import { fetchFragment, morph } from "./fragments.js";

let running = null;

/** Complete the form whenever a field was changed; only the newest answer counts. */
export function completeForm() {
  if (!document.getElementById("lab-form")) return;
  document.getElementById("mistakes")?.focus();
  addEventListener("change", (event) => event.target.form?.id === "lab-form" && complete());
  addEventListener("submit", (event) => {
    if (event.target.id !== "lab-form" || event.submitter?.getAttribute("aria-disabled") !== "true") return;
    event.preventDefault();
    document.getElementById("blocked")?.focus();
  });
}

/** The page of the form, for the stream: completed anew after each word of the hub that may concern it. */
export function formPage() {
  const again = () => complete(true);
  return { all: again, list: again, one: () => {}, settle: () => {} };
}

async function complete(bySelf = false) {
  const form = document.getElementById("lab-form");
  running?.abort();
  const own = (running = new AbortController());
  const typed = new URLSearchParams(new FormData(form));
  typed.set("action", "update");
  try {
    const fragment = await fetchFragment(form.getAttribute("action"), { method: "POST", body: typed, signal: own.signal });
    if (!fragment) return location.reload();
    show(form, fragment.querySelector("#lab-form"), typed.get("title"), bySelf);
  } catch (error) {
    if (error.name !== "AbortError" && !bySelf) {
      form.querySelector(".jsc-summary-text").textContent = "The portal does not answer. Check your network, then change a field again.";
    }
  } finally {
    if (running === own) running = null;
  }
}

function show(form, wanted, sentTitle, bySelf) {
  // What is being typed stays, and so does what was said about the last change.
  const title = document.getElementById("title");
  if (title.value !== sentTitle) wanted.querySelector("#title").setAttribute("value", title.value);
  const said = form.querySelector(".jsc-changes");
  if (bySelf && said && !wanted.querySelector(".jsc-changes")) wanted.querySelector(".jsc-summary-text").append(said.cloneNode(true));
  morph(form, wanted);
  chosen();
}

// What the user has touched shows its own state, not the attribute: set what the hub chose.
function chosen() {
  for (const input of document.querySelectorAll("#lab-form :is([type=radio], [type=checkbox])")) input.checked = input.hasAttribute("checked");
  for (const option of document.querySelectorAll("#lab-form option[selected]")) option.selected = true;
}
