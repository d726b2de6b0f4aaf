"""The base domain: sign-up, accounts, staff admin, hosted and lease routes."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("", include("tenants.urls")),
    path("", include("billing.urls")),
    path("accounts/2fa/", include("allauth.mfa.urls")),
    path("accounts/", include("allauth.account.urls")),
    path("admin/", admin.site.urls),
]

handler400 = "pulsecloud.failures.malformed"
handler403 = "pulsecloud.failures.forbidden"
handler404 = "pulsecloud.failures.missing"
handler500 = "pulsecloud.failures.failed"
