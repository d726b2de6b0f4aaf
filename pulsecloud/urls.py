"""The base domain: sign-up, accounts, staff admin, hosted and lease routes."""

from django.contrib import admin
from django.urls import include, path

from pulsecloud import api_docs

urlpatterns = [
    path("api/docs", api_docs.page),
    path("api/docs/<str:name>", api_docs.page),
    path("api/<str:name>.yaml", api_docs.openapi),
    path("", include("tenants.urls")),
    path("", include("billing.urls")),
    path("accounts/", include("tenants.accounts.urls")),
    path("admin/", admin.site.urls),
]

handler400 = "pulsecloud.failures.malformed"
handler403 = "pulsecloud.failures.forbidden"
handler404 = "pulsecloud.failures.missing"
handler500 = "pulsecloud.failures.failed"
