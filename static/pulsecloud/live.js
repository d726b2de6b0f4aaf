// Keeps the parts of a page that are marked `data-live="<name>"` fresh: every `data-live-every`
// milliseconds it fetches the page that shows them (this one, or the one that `data-live-from`
// names) and replaces the parts whose content changed, until all say `data-live-done="yes"`.
// The pages work without this script; then people reload them.
(function () {
  "use strict";

  function parts() {
    return Array.from(document.querySelectorAll('[data-live]:not([data-live-done="yes"])'));
  }

  var first = parts()[0];
  if (!first) return;
  var every = Number(first.dataset.liveEvery) || 5000;
  var source = first.dataset.liveFrom || location.href;
  var failures = 0;

  function replace(fresh) {
    parts().forEach(function (part) {
      var now = fresh.querySelector('[data-live="' + part.dataset.live + '"]');
      // A part in use (focus inside) is left alone until it is not.
      if (!now || part.contains(document.activeElement)) return;
      if (now.innerHTML.trim() !== part.innerHTML.trim()) part.innerHTML = now.innerHTML;
      if (now.dataset.liveDone) part.dataset.liveDone = now.dataset.liveDone;
    });
  }

  // What stands on the page may be wrong once the server stops answering: say so.
  function doubt(isDoubtful) {
    var note = document.getElementById("live-doubt");
    if (!isDoubtful) {
      if (note) note.remove();
    } else if (!note) {
      note = document.createElement("p");
      note.id = "live-doubt";
      note.className = "notice warning";
      note.setAttribute("role", "status");
      note.textContent = "This page may be out of date: the server does not answer. It keeps trying.";
      document.querySelector("main").prepend(note);
    }
  }

  function later() {
    if (!parts().length) return;
    setTimeout(look, Math.min(every * Math.pow(2, failures), 60000));
  }

  function look() {
    if (document.hidden) return later();
    fetch(source, { credentials: "same-origin", redirect: "manual", cache: "no-store" })
      .then(function (answer) {
        // A redirect means that this page is over (the work is finished, or the person signed out).
        if (answer.type === "opaqueredirect") return location.assign(source);
        if (!answer.ok) throw new Error(String(answer.status));
        return answer.text().then(function (text) {
          failures = 0;
          doubt(false);
          replace(new DOMParser().parseFromString(text, "text/html"));
          later();
        });
      })
      .catch(function () {
        failures = Math.min(failures + 1, 5);
        doubt(failures > 1);
        later();
      });
  }

  document.addEventListener("visibilitychange", function () {
    if (!document.hidden && parts().length) look();
  });
  setTimeout(look, every);
})();
