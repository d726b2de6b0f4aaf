// Sends the form marked `data-send-now` by itself; without scripts its button does.
// When the same page comes back at once (a browser that keeps no cookies for the other host), it
// waits for the person instead of going round in circles.
(function () {
  "use strict";
  var form = document.querySelector("form[data-send-now]");
  if (!form) return;
  var key = "sent " + location.pathname + " " + form.getAttribute("action");
  var now = Date.now();
  try {
    if (now - Number(sessionStorage.getItem(key)) < 10000) return;
    sessionStorage.setItem(key, String(now));
  } catch (refused) {
    return;
  }
  form.submit();
})();
