// On a narrow screen the sections scroll sideways: shows the one that is open, and a bit of its
// neighbour, so that it is seen that there are more.
(function () {
  "use strict";
  var bar = document.querySelector("nav.sections");
  var here = bar && bar.querySelector("[aria-current]");
  if (here) bar.scrollLeft = here.offsetLeft - bar.offsetLeft - (bar.clientWidth - here.offsetWidth) / 2;
})();
