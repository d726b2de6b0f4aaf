// Shows the OpenAPI document that #api-docs names. Nothing is sent from here: the API lives on other
// hosts, and a page that asks for tokens is a page to be imitated.
(function () {
  var dark = window.matchMedia("(prefers-color-scheme: dark)");
  function follow() { document.documentElement.classList.toggle("dark-mode", dark.matches); }
  dark.addEventListener("change", follow);
  follow();
  SwaggerUIBundle({
    domNode: document.getElementById("api-docs"),
    url: document.getElementById("api-docs").dataset.document,
    deepLinking: true,
    docExpansion: "list",
    defaultModelsExpandDepth: -1,
    defaultModelRendering: "example",
    displayRequestDuration: false,
    showExtensions: true,
    supportedSubmitMethods: [],
    validatorUrl: null,
    syntaxHighlight: { activated: false },
  });
})();
