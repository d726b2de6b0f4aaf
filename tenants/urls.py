"""Paths of the base domain: sign-up, sign-in links, the way to organisations, hosted routes."""

from django.urls import path

from tenants import api, hosted_routes, owner_views, views
from tenants.accounts import hand_off, magic_link_views
from tenants.backups import export_views
from tenants.deletion import pages as receipt_pages
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
    path("o/<str:label>/delete", owner_views.delete),
    path("o/<str:label>/restore", owner_views.restore),
    path("o/<str:label>/export", export_views.export),
    path("o/<str:label>/leave", join_views.leave),
    path("receipts/<uuid:receipt_id>", receipt_pages.page, name="deletion_receipt"),
    path("receipts/<uuid:receipt_id>.json", receipt_pages.file),
    path("join/<str:token>", join_views.join, name="join"),
    path("invitations/<uuid:invitation_id>/accept", join_views.accept),
    path("invitations/<uuid:invitation_id>/decline", join_views.decline),
    path(hosted_routes.SIGNUP.pattern, api.signup_view),
    path(hosted_routes.MAGIC_LINK.pattern, magic_link_views.request_view),
    path(hosted_routes.MAGIC_LINK_VERIFY.pattern, magic_link_views.verify_view),
    path(hosted_routes.SUSPEND.pattern, api.suspend_view),
    path(hosted_routes.UNSUSPEND.pattern, api.unsuspend_view),
    path(hosted_routes.SOFT_DELETE.pattern, api.soft_delete_view),
    path(hosted_routes.ORGANISATIONS.pattern, api.hosted_organisations_view),
    path("api/admin/orgs/<str:organisation_id>/restore", api.restore_view),
    path("api/admin/orgs/<str:organisation_id>/purge", api.purge_view),
    path("api/orgs", api_own.organisations),
    path("api/org-invitations", api_own.invitations),
    path("api/org-invitations/<str:organisation_id>/accept", api_own.accept),
    path("api/org-invitations/<str:organisation_id>", api_own.decline),
]
