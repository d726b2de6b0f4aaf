"""Paths of the base domain: sign-up, sign-in links, the way to organisations, hosted routes."""

from django.urls import path, re_path
from django.views.generic import RedirectView

from tenants import api, hand_off, owner_views, views

urlpatterns = [
    path("", views.index, name="index"),
    path("signup", views.signup_page, name="signup"),
    path("signup/verify/<str:token>", views.verify, name="verify"),
    path("signup/progress", views.progress, name="progress"),
    path("signup/status", views.status, name="signup_status"),
    path("sign-in/<str:token>", views.sign_in, name="sign_in"),
    path("o/<str:label>/", hand_off.open_organisation, name="open_organisation"),
    path("o/<str:label>/suspend", owner_views.suspend),
    path("o/<str:label>/lift", owner_views.lift),
    # allauth's own sign-up makes people without organisations; its page of addresses would let a
    # person claim a mailbox that nobody proved.
    path("accounts/signup/", RedirectView.as_view(url="/signup")),
    path("accounts/email/", RedirectView.as_view(url="/")),
    re_path(r"^accounts/confirm-email/", RedirectView.as_view(url="/")),
    path("api/public/signup", api.signup_view),
    path("api/admin/orgs/<str:organisation_id>/suspend", api.suspend_view),
    path("api/admin/orgs/<str:organisation_id>/unsuspend", api.unsuspend_view),
    path("api/admin/orgs/<str:organisation_id>/purge", api.purge_view),
]
