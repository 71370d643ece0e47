// SPDX-License-Identifier: BSD-3-Clause
// Keeps a page up to date: the hub's event stream says what changed, the hub's templates say how it looks.
import { formPage } from "./form.js";
import { fetchFragment, morph } from "./fragments.js";

const DEBOUNCE_MS = 60;
const SETTLE_MS = 1000;
const REFRESH_MS = 30000;
const WAITS_MS = [1000, 2000, 5000, 10000, 30000];

/** Follow what happens to the user's labs and to the configuration, and show it. */
export function follow() {
  const { stream } = document.body.dataset;
  if (!stream) return;
  const shown = page();
  const both = { ...shown, all: () => [shown.all(), frame()], list: () => [shown.list(), frame()] };
  connect(stream, both);
  addEventListener("jsc-acted", () => both.all());
  addEventListener("pageshow", (event) => event.persisted && both.all());
  addEventListener("visibilitychange", () => document.hidden || both.all());
  setInterval(() => document.hidden || both.all(), REFRESH_MS);
  setInterval(() => shown.settle(), SETTLE_MS);
}

function page() {
  const nothing = () => {};
  const list = document.querySelector("[data-list]");
  if (list) return listPage(list.dataset.list);
  if (document.getElementById("lab")) return labPage();
  return document.getElementById("lab-form") ? formPage() : { all: nothing, list: nothing, one: nothing, settle: nothing };
}

/** What stands around the page: announcements and the user's menu. */
const frame = soon(async () => {
  const fragment = await fetchFragment(document.body.dataset.frame);
  if (!fragment) return;
  for (const id of ["announcements", "user-menu"]) {
    const shown = document.getElementById(id);
    const wanted = fragment.querySelector(`#${id}`);
    // An open menu is in use.
    if (shown && wanted && !shown.querySelector("details[open]")) morph(shown, wanted);
  }
});

function connect(url, page, failures = 0) {
  const source = new EventSource(`${url}?_xsrf=${encodeURIComponent(document.body.dataset.xsrf)}`);
  const live = document.getElementById("live");
  let failed = failures;
  source.addEventListener("open", () => {
    if (failed) page.all();
    failed = 0;
    live.textContent = "";
  });
  source.addEventListener("configuration", (event) => {
    const { version } = JSON.parse(event.data);
    if (document.body.dataset.version !== version) page.all();
    document.body.dataset.version = version;
  });
  source.addEventListener("lab", (event) => page.one(JSON.parse(event.data).server));
  source.addEventListener("labs", () => page.list());
  source.addEventListener("error", () => {
    failed += 1;
    if (failed > 2) live.textContent = "Not connected to the portal; this page may be out of date. It tries again by itself.";
    if (source.readyState !== EventSource.CLOSED) return;
    setTimeout(connect, WAITS_MS[Math.min(failed, WAITS_MS.length) - 1], url, page, failed);
  });
  addEventListener("pagehide", () => source.close());
  addEventListener("pageshow", (event) => event.persisted && source.readyState === EventSource.CLOSED && connect(url, page));
}

/** Return a function that runs *work* soon, once for many calls, and never twice at the same time. */
function soon(work) {
  let timer = 0;
  let busy = false;
  let again = false;
  const run = async () => {
    timer = 0;
    if (busy) {
      again = true;
      return;
    }
    busy = true;
    try {
      await work();
    } catch {
      // The network or the hub is away: the stream's own message says so, and the next event tries again.
    } finally {
      busy = false;
      if (again) {
        again = false;
        run();
      }
    }
  };
  return () => {
    timer ||= setTimeout(run, DEBOUNCE_MS);
  };
}

function needed(fragment) {
  if (!fragment) location.reload();
  return fragment;
}

function settling(element) {
  return element.dataset.state === "stopping" || (element.dataset.state === "starting" && Number(element.dataset.percent) >= 90);
}

function listPage(url) {
  const updates = new Map();
  const all = soon(async () => {
    const fragment = needed(await fetchFragment(url));
    if (!fragment) return;
    for (const id of ["labs-head", "welcome"]) morph(document.getElementById(id), fragment.querySelector(`#${id}`));
    const cards = [...fragment.querySelectorAll("[data-lab]")];
    const shown = [...document.querySelectorAll("#labs [data-lab]")];
    const same = cards.length && cards.length === shown.length && cards.every((card) => document.getElementById(card.id));
    if (!same) morph(document.getElementById("labs"), fragment.querySelector("#labs"));
    // Cards keep their places while somebody looks at them: nothing moves under the pointer.
    else for (const card of cards) morph(document.getElementById(card.id), card);
  });
  const one = (server) => {
    if (!document.getElementById(`lab-${server}`)) return all();
    if (!updates.has(server)) updates.set(server, soon(() => card(server)));
    updates.get(server)();
  };
  const card = async (server) => {
    const shown = document.getElementById(`lab-${server}`);
    if (!shown) return;
    const fragment = await fetchFragment(shown.dataset.fragment);
    if (!fragment) all();
    else morph(document.getElementById(`lab-${server}`), fragment.firstElementChild);
  };
  const settle = () => {
    for (const shown of document.querySelectorAll("#labs [data-lab]")) if (settling(shown)) one(shown.dataset.lab);
  };
  return { all, list: all, one, settle };
}

function labPage() {
  const lab = () => document.getElementById("lab");
  const title = document.title;
  const icon = document.getElementById("favicon");
  const server = lab().dataset.lab;
  let waiting = lab().dataset.state === "starting";
  const update = soon(async () => {
    const fragment = needed(await fetchFragment(location.href));
    if (fragment) morph(lab(), fragment.firstElementChild);
    moveOn();
  });
  const moveOn = () => {
    const { state, go } = lab().dataset;
    if (state === "starting") waiting = true;
    if (waiting && state === "running" && go) {
      if (document.hidden) return say("ready", "Ready");
      // Once: another event would otherwise interrupt the move that is under way, and "back" would lead forward again.
      waiting = false;
      location.assign(go);
    } else if (waiting && state === "failed") {
      say("failed", "Failed");
    } else if (!document.hidden) {
      say("", "");
    }
  };
  const say = (name, word) => {
    document.title = word ? `${word}: ${title}` : title;
    icon.href = `${document.body.dataset.assets}favicon${name && `-${name}`}.svg`;
  };
  const settle = () => {
    if (settling(lab())) update();
  };
  return { all: update, list: update, one: (name) => name === server && update(), settle };
}
