"""The organisation itself, on its own host."""

from django.urls import path

from tenants import api_organisation

urlpatterns = [
    path("api/organisation", api_organisation.OrganisationView.as_view()),
]
