"""Billing on the base domain."""

from django.urls import path

from billing import api

urlpatterns = [
    path("api/entitlements/refresh", api.refresh_entitlement, name="refresh_entitlement"),
]
