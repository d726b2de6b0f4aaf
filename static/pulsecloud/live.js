// Keeps the parts of a page that are marked `data-live="<name>"` fresh: fetches the same page every
// `data-live-every` milliseconds and replaces the parts whose content changed. The page works
// without this script; then people reload it.
(function () {
  "use strict";
  var parts = document.querySelectorAll("[data-live]");
  if (!parts.length) return;
  var first = parts[0];
  var every = Number(first.dataset.liveEvery) || 5000;
  var failures = 0;

  function replace(fresh) {
    document.querySelectorAll("[data-live]").forEach(function (part) {
      var now = fresh.querySelector('[data-live="' + part.dataset.live + '"]');
      // A part being used (focus inside, details opened) is left alone until it is not.
      if (!now || part.contains(document.activeElement)) return;
      if (now.innerHTML !== part.innerHTML) part.innerHTML = now.innerHTML;
      part.dataset.liveDone = now.dataset.liveDone || "";
    });
  }

  function done() {
    return document.querySelectorAll('[data-live]:not([data-live-done="yes"])').length === 0;
  }

  function later() {
    if (done()) return;
    setTimeout(look, Math.min(every * Math.pow(2, failures), 60000));
  }

  function look() {
    if (document.hidden) return later();
    fetch(location.href, { credentials: "same-origin", redirect: "manual", cache: "no-store" })
      .then(function (answer) {
        // A redirect means that the page is over (signed out, or the work is finished): follow it.
        if (answer.type === "opaqueredirect") return location.reload();
        if (!answer.ok) throw new Error(String(answer.status));
        return answer.text().then(function (text) {
          failures = 0;
          replace(new DOMParser().parseFromString(text, "text/html"));
        });
      })
      .catch(function () {
        failures = Math.min(failures + 1, 5);
      })
      .then(later);
  }

  if (!done()) setTimeout(look, every);
})();
