// Sends the form marked `data-send-now` by itself; without scripts its button does.
document.querySelectorAll("form[data-send-now]").forEach(function (form) {
  form.submit();
});
