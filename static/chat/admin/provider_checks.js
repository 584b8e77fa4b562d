/* The providers' page of the admin: a check takes some seconds, and says so meanwhile. */

for (const form of document.querySelectorAll("form[data-asking]")) {
  form.addEventListener("submit", ({ submitter }) => {
    if (submitter?.value !== "check") return;
    // What is disabled at once is not sent.
    setTimeout(() => {
      submitter.textContent = form.dataset.asking;
      for (const button of document.querySelectorAll("form[data-asking] button")) button.disabled = true;
    });
  });
}

/* Who comes back to the page finds it as it was left. */
addEventListener("pageshow", ({ persisted }) => persisted && location.reload());
