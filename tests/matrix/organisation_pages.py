"""The permission matrix of an organisation's pages.

Who is not signed in there is sent to the base domain (302). A page that did what was asked, or says
why not, leads on (302, 303). API tokens change nothing through pages.
"""

from __future__ import annotations

from tests.matrix.table import ORGANISATION, parse

#                                                                 ano out str vie edi adm own sus pho tok sta sup
SECTIONS = {
    "pages: sign-in and overview": parse(
        ORGANISATION,
        """
# The door does not stand before the way in and the way out.
GET    /                                                        302 403 403 200 200 200 200 403 403 200 403 403
POST   /                                                        405 405 405 405 405 405 405 405 405 405 405 405
GET    /hand-off                                                405 405 405 405 405 405 405 405 405 405 405 405
POST   /hand-off                                                303 303 303 303 303 303 303 303 303 303 303 303  {"token": "nothing"}
GET    /sign-out                                                405 405 405 405 405 405 405 405 405 405 405 405
POST   /sign-out                                                303 303 303 303 303 303 303 303 303 303 303 303
""",
    ),
    "pages: phones": parse(
        ORGANISATION,
        """
# A phone is paired by who may change settings; one's own may be removed by everybody.
GET    /pair                                                    405 405 405 405 405 405 405 405 405 405 405 405
POST   /pair                                                    302 403 403 403 403 200 200 403 403 403 403 403  {"name": "Ann's phone"}
GET    /devices                                                 302 403 403 200 200 200 200 403 403 200 403 403
POST   /devices                                                 302 403 403 302 302 302 302 403 403 403 403 403  {"token": "{my_phone}"}
POST   /devices                                                 302 403 403 403 403 302 302 403 403 403 403 403  {"token": "{colleagues_phone}"}
""",
    ),
    "pages: people": parse(
        ORGANISATION,
        """
# The owner cannot leave and is told so (303).
GET    /people                                                  302 403 403 200 200 200 200 403 403 200 403 403
POST   /people                                                  405 405 405 405 405 405 405 405 405 405 405 405
GET    /people/invite                                           405 405 405 405 405 405 405 405 405 405 405 405
POST   /people/invite                                           302 403 403 403 403 303 303 403 403 403 403 403  {"email": "{mail}", "role": "viewer"}
GET    /people/invitations/{invitation}/resend                  405 405 405 405 405 405 405 405 405 405 405 405
POST   /people/invitations/{invitation}/resend                  302 403 403 403 403 303 303 403 403 403 403 403
GET    /people/invitations/{invitation}/revoke                  405 405 405 405 405 405 405 405 405 405 405 405
POST   /people/invitations/{invitation}/revoke                  302 403 403 403 403 303 303 403 403 403 403 403
GET    /people/{colleague}/role                                 405 405 405 405 405 405 405 405 405 405 405 405
POST   /people/{colleague}/role                                 302 403 403 403 403 303 303 403 403 403 403 403  {"role": "editor"}
GET    /people/{colleague}/remove                               405 405 405 405 405 405 405 405 405 405 405 405
POST   /people/{colleague}/remove                               302 403 403 403 403 303 303 403 403 403 403 403
GET    /people/leave                                            405 405 405 405 405 405 405 405 405 405 405 405
POST   /people/leave                                            302 403 403 303 303 303 303 403 403 403 403 403
GET    /people/transfer                                         302 403 403 403 403 403 200 403 403 403 403 403
POST   /people/transfer                                         302 403 403 403 403 403 303 403 403 403 403 403  {"user": "{colleague}"}
""",
    ),
    "pages: tokens": parse(
        ORGANISATION,
        """
GET    /tokens                                                  302 403 403 200 200 200 200 403 403 403 403 403
POST   /tokens                                                  302 403 403 200 200 200 200 403 403 403 403 403  {"name": "mine", "scopes": ["settings:read"], "expires": "90"}
GET    /tokens/{my_token}                                       405 405 405 405 405 405 405 405 405 405 405 405
POST   /tokens/{my_token}                                       302 403 403 302 302 302 302 403 403 403 403 403  {"what": "revoke"}
POST   /tokens/{colleagues_token}                               302 403 403 403 403 302 302 403 403 403 403 403  {"what": "revoke"}
""",
    ),
    "pages: audit": parse(
        ORGANISATION,
        """
GET    /audit                                                   302 403 403 200 200 200 200 403 403 403 403 403
POST   /audit                                                   405 405 405 405 405 405 405 405 405 405 405 405
GET    /audit/{event}                                           302 403 403 200 200 200 200 403 403 403 403 403
POST   /audit/{event}                                           405 405 405 405 405 405 405 405 405 405 405 405
""",
    ),
    "pages: single sign-on": parse(
        ORGANISATION,
        """
# Sign-in tells nobody whether an organisation, or a provider that is switched off, exists. Nobody
# answers at the provider of the test page: 424.
GET    /sso/                                                    302 302 302 302 302 302 302 302 302 302 302 302
POST   /sso/                                                    405 405 405 405 405 405 405 405 405 405 405 405
GET    /sso/settings                                            302 403 403 403 403 200 200 403 403 403 403 403
POST   /sso/settings                                            405 405 405 405 405 405 405 405 405 405 405 405
GET    /sso/settings/new                                        302 403 403 403 403 200 200 403 403 403 403 403
POST   /sso/settings/new                                        302 403 403 403 403 303 303 403 403 403 403 403  {"slug": "okta", "name": "Okta", "issuer": "https://login.invalid", "client_id": "pulse", "scopes": "openid", "email_claim": "email", "name_claim": "name", "default_role": "viewer", "session_hours": "8"}
GET    /sso/settings/required                                   405 405 405 405 405 405 405 405 405 405 405 405
POST   /sso/settings/required                                   302 403 403 403 403 303 303 403 403 403 403 403  {"on": "0"}
GET    /sso/settings/{provider}                                 302 403 403 403 403 200 200 403 403 403 403 403
POST   /sso/settings/{provider}                                 405 405 405 405 405 405 405 405 405 405 405 405
GET    /sso/settings/{provider}/edit                            302 403 403 403 403 200 200 403 403 403 403 403
POST   /sso/settings/{provider}/edit                            302 403 403 403 403 303 303 403 403 403 403 403  {"name": "Okta", "issuer": "https://login.invalid", "client_id": "pulse", "scopes": "openid", "email_claim": "email", "name_claim": "name", "default_role": "viewer", "session_hours": "8"}
GET    /sso/settings/{provider}/switch                          405 405 405 405 405 405 405 405 405 405 405 405
POST   /sso/settings/{provider}/switch                          302 403 403 403 403 303 303 403 403 403 403 403  {"on": "0"}
GET    /sso/settings/{provider}/delete                          405 405 405 405 405 405 405 405 405 405 405 405
POST   /sso/settings/{provider}/delete                          302 403 403 403 403 303 303 403 403 403 403 403
GET    /sso/settings/{provider}/groups                          405 405 405 405 405 405 405 405 405 405 405 405
POST   /sso/settings/{provider}/groups                          302 403 403 403 403 303 303 403 403 403 403 403  {"group": "staff", "role": "viewer"}
GET    /sso/settings/{provider}/test                            302 403 403 403 403 200 200 403 403 403 403 403
POST   /sso/settings/{provider}/test                            302 403 403 403 403 424 424 403 403 403 403 403
GET    /sso/{provider}/login                                    405 405 405 405 405 405 405 405 405 405 405 405
POST   /sso/{provider}/login                                    302 302 302 302 302 302 302 302 302 302 302 302
GET    /sso/{provider}/callback                                 302 302 302 400 400 400 400 403 302 302 302 302
POST   /sso/{provider}/callback                                 405 405 405 405 405 405 405 405 405 405 405 405
""",
    ),
    "pages: roles": parse(
        ORGANISATION,
        """
# Whose form does not show what it changes is asked to look again (412).
GET    /roles                                                   302 403 403 200 200 200 200 403 403 200 403 403
POST   /roles                                                   405 405 405 405 405 405 405 405 405 405 405 405
GET    /roles/+new                                              302 403 403 403 403 200 200 403 403 403 403 403
POST   /roles/+new                                              302 403 403 403 403 303 303 403 403 403 403 403  {"id": "helper", "name": "Helper", "action": "read", "resource": "nodes", "effect": "allow"}
GET    /roles/{role}                                            302 403 403 200 200 200 200 403 403 200 403 403
POST   /roles/{role}                                            405 405 405 405 405 405 405 405 405 405 405 405
GET    /roles/{role}/edit                                       405 405 405 405 405 405 405 405 405 405 405 405
POST   /roles/{role}/edit                                       302 403 403 403 403 412 412 403 403 403 403 403  {"name": "Helper"}
GET    /roles/{role}/delete                                     405 405 405 405 405 405 405 405 405 405 405 405
POST   /roles/{role}/delete                                     302 403 403 403 403 303 303 403 403 403 403 403
GET    /people/{colleague}/roles                                302 403 403 200 200 200 200 403 403 200 403 403
POST   /people/{colleague}/roles                                405 405 405 405 405 405 405 405 405 405 405 405  {"roles": ["operator"]}
GET    /people/{colleague}/roles/give                           405 405 405 405 405 405 405 405 405 405 405 405
POST   /people/{colleague}/roles/give                           302 403 403 403 403 412 412 403 403 403 403 403  {"role": "operator"}
""",
    ),
}
