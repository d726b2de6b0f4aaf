"""The organisation itself, on its own host."""

from django.urls import path

from tenants import api_organisation, hand_off

urlpatterns = [
    path("hand-off", hand_off.receive),
    path("sign-out", hand_off.sign_out),
    path("api/organisation", api_organisation.OrganisationView.as_view()),
]
