"""/accounts/ on the base domain: our pages, then allauth's behind our rules."""

from allauth.mfa.recovery_codes import views as codes
from allauth.mfa.totp import views as totp
from django.urls import include, path, re_path
from django.views.generic import RedirectView

from tenants.accounts import confirming, magic_link_views, passwords, session_views
from tenants.accounts.code_page import CodePage
from tenants.accounts.confirming import recently_confirmed

urlpatterns = [
    path("", session_views.overview, name="account"),
    path("sessions/", session_views.session_list, name="sessions"),
    path("magic-link/", magic_link_views.page, name="magic_link"),
    path("reauthenticate/", confirming.confirm),
    path("password/reset/", passwords.ResetView.as_view()),
    re_path(
        r"^password/reset/key/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>.+)/$",
        passwords.ResetFromKeyView.as_view(),
    ),
    path("password/change/", passwords.ChangeView.as_view()),
    path("password/set/", recently_confirmed(passwords.SetView.as_view())),
    # allauth's own sign-up makes people without organisations; its page of addresses would let a
    # person claim a mailbox that nobody proved; its codes by mail are not used.
    path("signup/", RedirectView.as_view(url="/signup")),
    path("email/", RedirectView.as_view(url="/")),
    re_path(r"^confirm-email/", RedirectView.as_view(url="/")),
    path("2fa/totp/activate/", recently_confirmed(totp.activate_totp)),
    path("2fa/totp/deactivate/", recently_confirmed(totp.deactivate_totp)),
    path("2fa/recovery-codes/", recently_confirmed(codes.view_recovery_codes)),
    path("2fa/recovery-codes/generate/", recently_confirmed(codes.generate_recovery_codes)),
    path("2fa/recovery-codes/download/", recently_confirmed(codes.download_recovery_codes)),
    path("2fa/authenticate/", CodePage.as_view()),
    path("2fa/", include("allauth.mfa.urls")),
    path("", include("allauth.account.urls")),
]
