"""Billing on an organisation's host."""

from django.urls import path

from billing import api_organisation

urlpatterns = [path("api/billing", api_organisation.BillingView.as_view())]
