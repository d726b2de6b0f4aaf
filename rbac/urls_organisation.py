"""Tokens, on an organisation's host."""

from django.urls import path

from rbac import api

urlpatterns = [
    path("api/security/tokens/relay-mobile", api.RelayMobileToken.as_view()),
    path("api/security/tokens/<uuid:token_id>", api.TokenView.as_view()),
]
