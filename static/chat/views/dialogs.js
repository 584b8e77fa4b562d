/* Questions to the person, each answered once. */

import { part } from "./pieces.js";

/** Resolves with the new title, or null. */
export async function askTitle(title) {
  const dialog = document.getElementById("rename-dialog");
  const input = document.getElementById("rename-title");
  input.value = title;
  const answer = asked(dialog);
  input.select();
  return (await answer) && input.value.trim() ? input.value.trim() : null;
}

/** Resolves with true when the person wants it deleted. */
export function askDelete(question) {
  const dialog = document.getElementById("delete-dialog");
  part(dialog, "question").textContent = question;
  return asked(dialog);
}

function asked(dialog) {
  dialog.returnValue = "";
  dialog.querySelector("[data-dismiss]").onclick = () => dialog.close();
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}
