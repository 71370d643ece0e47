// SPDX-License-Identifier: BSD-3-Clause
// The entry of all pages' scripts. Without it every page works, by reload.
import { closeMenus } from "./menus.js";
import { localTimes } from "./fragments.js";
import { follow } from "./live.js";
import { completeForm } from "./form.js";
import { sendActs } from "./acts.js";

closeMenus();
localTimes(document);
sendActs();
completeForm();
follow();
