"""/accounts/2fa/authenticate/, where a person who is signing in gives a code."""

from __future__ import annotations

from typing import Any, cast

from allauth.account.internal.stagekit import clear_login, unstash_login
from allauth.mfa.base.views import AuthenticateView
from django.http import HttpRequest, HttpResponseBase

from tenants.accounts import entry


class CodePage(AuthenticateView):  # type: ignore[misc]
    """allauth's, for people who have a second factor still. When it was removed meanwhile the
    sign-in starts anew: allauth would send them to and fro between this page and the first."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        begun = unstash_login(request, peek=True)
        if begun and begun.user and not entry.has_second_factor(begun.user):
            clear_login(request)
        return cast(HttpResponseBase, super().dispatch(request, *args, **kwargs))
