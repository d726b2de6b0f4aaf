"""Relay and onboarding, on an organisation's host."""

from django.urls import path

from relay import api, device_views, views

urlpatterns = [
    path("", views.organisation_page, name="organisation"),
    path("pair", views.pair, name="pair"),
    path("devices", device_views.devices, name="devices"),
    path("api/settings/relay", api.RelaySettingsView.as_view()),
    path("api/settings/relay/status", api.RelayStatusView.as_view()),
    path("api/onboarding/qr", api.QrView.as_view()),
    path("api/onboarding/qr.svg", api.QrPictureView.as_view()),
    path("api/onboarding/deep-link", api.DeepLinkView.as_view()),
    path("api/onboarding/validate", api.ValidateView.as_view()),
]
