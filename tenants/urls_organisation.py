"""The organisation itself, on its own host."""

from django.urls import path

from tenants import api_organisation, api_orgs
from tenants.accounts import hand_off
from tenants.people import api_member_invitations, api_members, people_pages

urlpatterns = [
    path("hand-off", hand_off.receive),
    path("sign-out", hand_off.sign_out),
    path("people", people_pages.people),
    path("people/invite", people_pages.invite),
    path("people/leave", people_pages.leave),
    path("people/transfer", people_pages.transfer),
    path("people/<uuid:user_id>/role", people_pages.change_role),
    path("people/<uuid:user_id>/remove", people_pages.remove),
    path("people/invitations/<uuid:invitation_id>/resend", people_pages.resend),
    path("people/invitations/<uuid:invitation_id>/revoke", people_pages.revoke),
    path("api/organisation", api_organisation.OrganisationView.as_view()),
    path("api/orgs", api_orgs.OrganisationsView.as_view()),
    path("api/orgs/<str:organisation_id>", api_orgs.OrganisationByIdView.as_view()),
    path("api/orgs/<str:organisation_id>/leave", api_members.LeaveView.as_view()),
    path("api/orgs/<str:organisation_id>/members", api_members.MembersView.as_view()),
    path("api/orgs/<str:organisation_id>/members/<str:user_id>", api_members.MemberView.as_view()),
    path(
        "api/orgs/<str:organisation_id>/invitations",
        api_member_invitations.InvitationsView.as_view(),
    ),
    path(
        "api/orgs/<str:organisation_id>/invitations/<str:invitation>",
        api_member_invitations.InvitationView.as_view(),
    ),
    path(
        "api/orgs/<str:organisation_id>/invitations/<str:invitation>/resend",
        api_member_invitations.ResendView.as_view(),
    ),
]
