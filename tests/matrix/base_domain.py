"""The permission matrix of the base domain: pages and API. API tokens mean nothing there."""

from __future__ import annotations

from tests.matrix.table import BASE, parse

#                                                                 ano out str vie edi adm own sus pho tok sta sup
SECTIONS = {
    "base: sign-up and sign-in": parse(
        BASE,
        """
# Status is of the sign-up that one's session or person has.
GET    /signup                                                  200 200 200 200 200 200 200 200 200 200 200 200
POST   /signup                                                  400 400 400 400 400 400 400 400 400 400 400 400  {"email": "x"}
GET    /signup/verify/{nothing}                                 404 404 404 404 404 404 404 404 404 404 404 404
POST   /signup/verify/{nothing}                                 404 404 404 404 404 404 404 404 404 404 404 404
GET    /signup/progress                                         302 302 302 302 302 302 302 302 302 302 302 302
POST   /signup/progress                                         405 405 405 405 405 405 405 405 405 405 405 405
GET    /signup/status                                           401 404 200 404 404 404 200 200 401 401 404 404
POST   /signup/status                                           405 405 405 405 405 405 405 405 405 405 405 405
GET    /sign-in/{nothing}                                       404 404 404 404 404 404 404 404 404 404 404 404
POST   /sign-in/{nothing}                                       404 404 404 404 404 404 404 404 404 404 404 404
""",
    ),
    "base: organisations": parse(
        BASE,
        """
# To who is no member, an organisation is a label that nobody has (404). 303 leads on, with what was
# done or why it was not: other people's invitations are never accepted (tests/people).
GET    /                                                        200 200 200 200 200 200 200 200 200 200 200 200
POST   /                                                        405 405 405 405 405 405 405 405 405 405 405 405
GET    /o/{label}/                                              302 404 404 200 200 200 200 403 302 302 404 404
POST   /o/{label}/                                              302 404 404 200 200 200 200 403 302 302 404 404
GET    /o/{label}/suspend                                       405 405 405 405 405 405 405 405 405 405 405 405
POST   /o/{label}/suspend                                       302 404 404 404 404 404 303 303 302 302 404 404  {"reason": "moving"}
GET    /o/{label}/lift                                          405 405 405 405 405 405 405 405 405 405 405 405
POST   /o/{label}/lift                                          302 404 404 404 404 404 303 303 302 302 404 404
GET    /o/{label}/delete                                        302 404 404 404 404 404 200 200 302 302 404 404
POST   /o/{label}/delete                                        302 404 404 404 404 404 303 303 302 302 404 404  {"label": "{label}", "retention_days": "30"}
GET    /o/{label}/restore                                       405 405 405 405 405 405 405 405 405 405 405 405
POST   /o/{label}/restore                                       302 404 404 404 404 404 303 303 302 302 404 404
GET    /o/{label}/export                                        302 404 404 404 404 404 200 200 302 302 404 404
POST   /o/{label}/export                                        302 404 404 404 404 404 400 400 302 302 404 404
GET    /o/{label}/leave                                         405 405 405 405 405 405 405 405 405 405 405 405
POST   /o/{label}/leave                                         302 404 404 303 303 303 303 303 302 302 404 404
# A receipt is for whoever was given its address; it is about nobody.
GET    /receipts/{receipt}                                      200 200 200 200 200 200 200 200 200 200 200 200
POST   /receipts/{receipt}                                      405 405 405 405 405 405 405 405 405 405 405 405
GET    /receipts/{receipt}.json                                 200 200 200 200 200 200 200 200 200 200 200 200
POST   /receipts/{receipt}.json                                 405 405 405 405 405 405 405 405 405 405 405 405
GET    /join/{nothing}                                          404 404 404 404 404 404 404 404 404 404 404 404
POST   /join/{nothing}                                          404 404 404 404 404 404 404 404 404 404 404 404
POST   /invitations/{invitation}/accept                         302 303 303 303 303 303 303 303 302 302 303 303
POST   /invitations/{invitation}/decline                        302 303 303 303 303 303 303 303 302 302 303 303
GET    /invitations/{my_invitation}/accept                      405 405 405 405 405 405 405 405 405 405 405 405
POST   /invitations/{my_invitation}/accept                      302 303 303 303 303 303 303 303 302 302 303 303
GET    /invitations/{my_invitation}/decline                     405 405 405 405 405 405 405 405 405 405 405 405
POST   /invitations/{my_invitation}/decline                     302 303 303 303 303 303 303 303 302 302 303 303
""",
    ),
    "base: documentation": parse(
        BASE,
        """
GET    /api/docs                                                200 200 200 200 200 200 200 200 200 200 200 200
POST   /api/docs                                                405 405 405 405 405 405 405 405 405 405 405 405
GET    /api/docs/{document}                                     200 200 200 200 200 200 200 200 200 200 200 200
POST   /api/docs/{document}                                     405 405 405 405 405 405 405 405 405 405 405 405
GET    /api/{document}.yaml                                     200 200 200 200 200 200 200 200 200 200 200 200
POST   /api/{document}.yaml                                     405 405 405 405 405 405 405 405 405 405 405 405
""",
    ),
    "base: public API": parse(
        BASE,
        """
GET    /api/public/signup                                       405 405 405 405 405 405 405 405 405 405 405 405
POST   /api/public/signup                                       400 400 400 400 400 400 400 400 400 400 400 400  {"email": "x"}
GET    /api/public/magic-link/request                           405 405 405 405 405 405 405 405 405 405 405 405
POST   /api/public/magic-link/request                           200 200 200 200 200 200 200 200 200 200 200 200  {"email": "{mail}"}
GET    /api/public/magic-link/verify?token=nothing&format=json  400 400 400 400 400 400 400 400 400 400 400 400
POST   /api/public/magic-link/verify?token=nothing              303 303 303 303 303 303 303 303 303 303 303 303
GET    /api/entitlements/refresh                                405 405 405 405 405 405 405 405 405 405 405 405
POST   /api/entitlements/refresh                                401 401 401 401 401 401 401 401 401 401 401 401  {"instance_host": "nowhere", "entitlement_refresh_token": "nothing"}
""",
    ),
    "base: one's own API": parse(
        BASE,
        """
# Nobody here is invited to the organisation, so accepting and declining find nothing.
GET    /api/orgs                                                401 200 200 200 200 200 200 200 401 401 200 200
POST   /api/orgs                                                405 405 405 405 405 405 405 405 405 405 405 405
GET    /api/org-invitations                                     401 200 200 200 200 200 200 200 401 401 200 200
POST   /api/org-invitations                                     405 405 405 405 405 405 405 405 405 405 405 405
GET    /api/org-invitations/{organisation}                      405 405 405 405 405 405 405 405 405 405 405 405
POST   /api/org-invitations/{organisation}                      405 405 405 405 405 405 405 405 405 405 405 405
DELETE /api/org-invitations/{organisation}                      401 404 404 404 404 404 404 404 401 401 404 404
GET    /api/org-invitations/{organisation}/accept               405 405 405 405 405 405 405 405 405 405 405 405
POST   /api/org-invitations/{organisation}/accept               401 404 404 404 404 404 404 404 401 401 404 404
""",
    ),
    "base: life cycle API": parse(
        BASE,
        """
# For the owner and platform staff. The owner's own suspension is lifted by the owner (200); an active
# organisation cannot be lifted, a suspended one not suspended (409); purging is for canaries (409), and there is no
# deletion to cancel (409).
GET    /api/admin/orgs/{organisation}/suspend                   401 405 405 405 405 405 405 405 401 401 405 405
POST   /api/admin/orgs/{organisation}/suspend                   401 403 403 403 403 403 200 409 401 401 200 200  {"reason": "moving"}
GET    /api/admin/orgs/{organisation}/unsuspend                 401 405 405 405 405 405 405 405 401 401 405 405
POST   /api/admin/orgs/{organisation}/unsuspend                 401 403 403 403 403 403 409 200 401 401 409 409
GET    /api/admin/orgs/{organisation}/soft-delete               401 405 405 405 405 405 405 405 401 401 405 405
POST   /api/admin/orgs/{organisation}/soft-delete               401 403 403 403 403 403 200 200 401 401 200 200  {"retention_days": 30}
GET    /api/admin/orgs/{organisation}/restore                   401 405 405 405 405 405 405 405 401 401 405 405
POST   /api/admin/orgs/{organisation}/restore                   401 403 403 403 403 403 409 409 401 401 409 409
GET    /api/hosted/organizations                                401 403 403 403 403 403 403 403 401 401 200 200
POST   /api/hosted/organizations                                401 405 405 405 405 405 405 405 401 401 405 405
GET    /api/admin/orgs/{organisation}/purge                     401 405 405 405 405 405 405 405 401 401 405 405
POST   /api/admin/orgs/{organisation}/purge                     401 403 403 403 403 403 409 409 401 401 409 409
""",
    ),
}
