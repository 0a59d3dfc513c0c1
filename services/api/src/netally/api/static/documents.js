"use strict";
window.addEventListener("load", () => {
  SwaggerUIBundle({
    url: "/api/openapi.json",
    dom_id: "#documents",
    deepLinking: true,
    validatorUrl: null,
    presets: [SwaggerUIBundle.presets.apis],
  });
});
