"""An organisation's own host: its pages and its API."""

from django.urls import include, path

urlpatterns = [
    path("", include("tenants.urls_organisation")),
    path("", include("rbac.urls_organisation")),
    path("", include("rbac.sso.urls")),
    path("", include("rbac.urls_roles")),
    path("", include("rbac.urls_audit")),
    path("", include("billing.urls_organisation")),
    path("", include("relay.urls_organisation")),
    path("", include("rbac.urls_elsewhere")),  # last: every other /api/ address
]

handler400 = "pulsecloud.failures.malformed"
handler403 = "pulsecloud.failures.forbidden"
handler404 = "pulsecloud.failures.missing"
handler500 = "pulsecloud.failures.failed"
