"""Tokens, on an organisation's host."""

from django.urls import path

from rbac import api, api_tokens, token_pages

urlpatterns = [
    path("tokens", token_pages.tokens_page, name="tokens"),
    path("tokens/<uuid:token_id>", token_pages.change_token),
    path("api/security/tokens/relay-mobile", api.RelayMobileToken.as_view()),
    path("api/security/tokens", api_tokens.TokensView.as_view()),
    path("api/security/tokens/<uuid:token_id>", api_tokens.TokenView.as_view()),
    path("api/security/devices", api_tokens.DevicesView.as_view()),
    path("api/security/devices/<uuid:token_id>", api_tokens.DeviceView.as_view()),
]
