// Sends the form marked `data-send-now` by itself; without scripts its button does.
// When the same page comes back again and again (a browser that keeps no cookies for the other
// host), it waits for the person instead of going round in circles.
(function () {
  "use strict";
  var form = document.querySelector("form[data-send-now]");
  if (!form) return;
  var key = "sent " + location.pathname + " " + form.getAttribute("action");
  var now = Date.now();
  try {
    var sent = JSON.parse(sessionStorage.getItem(key) || "[]").filter(function (time) {
      return now - time < 20000;
    });
    if (sent.length > 2) return;
    sessionStorage.setItem(key, JSON.stringify(sent.concat(now)));
  } catch (refused) {
    return;
  }
  form.submit();
})();
