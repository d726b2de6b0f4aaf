"""Paths of the base domain: sign-up, sign-in links, the way to organisations, hosted routes."""

from django.urls import path

from tenants import api, owner_views, views
from tenants.accounts import hand_off, magic_link_views
from tenants.people import api_own, join_views

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
    path("o/<str:label>/leave", join_views.leave),
    path("join/<str:token>", join_views.join, name="join"),
    path("invitations/<uuid:invitation_id>/accept", join_views.accept),
    path("invitations/<uuid:invitation_id>/decline", join_views.decline),
    path("api/public/signup", api.signup_view),
    path("api/public/magic-link/request", magic_link_views.request_view),
    path("api/public/magic-link/verify", magic_link_views.verify_view),
    path("api/admin/orgs/<str:organisation_id>/suspend", api.suspend_view),
    path("api/admin/orgs/<str:organisation_id>/unsuspend", api.unsuspend_view),
    path("api/admin/orgs/<str:organisation_id>/purge", api.purge_view),
    path("api/orgs", api_own.organisations),
    path("api/org-invitations", api_own.invitations),
    path("api/org-invitations/<str:organisation_id>/accept", api_own.accept),
    path("api/org-invitations/<str:organisation_id>", api_own.decline),
]
