// Shows the buttons marked `data-copy="<id>"` and lets them copy that element's text.
document.querySelectorAll("button[data-copy]").forEach(function (button) {
  var label = button.textContent;
  if (!navigator.clipboard) return;
  button.hidden = false;
  button.addEventListener("click", function () {
    var text = document.getElementById(button.dataset.copy).textContent.trim();
    navigator.clipboard.writeText(text).then(function () {
      button.textContent = "Copied";
      setTimeout(function () { button.textContent = label; }, 2000);
    });
  });
});
