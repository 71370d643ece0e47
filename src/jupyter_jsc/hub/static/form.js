// SPDX-License-Identifier: BSD-3-Clause
// The form's dependent fields: after each change the hub completes what was typed, and answers the form anew.
import { fetchFragment, morph } from "./fragments.js";

/** Complete the form whenever a field was changed; only the newest answer counts. */
export function completeForm() {
  if (!document.getElementById("lab-form")) return;
  document.getElementById("mistakes")?.focus();
  let running = null;
  addEventListener("change", async (event) => {
    const form = event.target.form;
    if (form?.id !== "lab-form") return;
    running?.abort();
    running = new AbortController();
    const typed = new URLSearchParams(new FormData(form));
    typed.set("action", "update");
    try {
      const fragment = await fetchFragment(form.getAttribute("action"), { method: "POST", body: typed, signal: running.signal });
      if (!fragment) return location.reload();
      const wanted = fragment.querySelector("#lab-form");
      const title = document.getElementById("title");
      if (title.value !== typed.get("title")) wanted.querySelector("#title").setAttribute("value", title.value);
      morph(form, wanted);
      checked();
    } catch (error) {
      if (error.name !== "AbortError") {
        form.querySelector(".jsc-summary-text").textContent = "The portal does not answer. Check your network, then change a field again.";
      }
    }
  });
}

// A radio button that the user has touched shows its own state, not the attribute: set what the hub chose.
function checked() {
  for (const input of document.querySelectorAll("#lab-form input[type=radio]")) input.checked = input.hasAttribute("checked");
}
