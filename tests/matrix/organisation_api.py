"""The permission matrix of an organisation's API.

Columns: anonymous, outsider, stranger, viewer, editor, admin, owner, suspended, phone, token, staff,
superuser; who they are stands in `tests.matrix.world`. Platform staff and superusers are nobody here:
they are members of no organisation.
"""

from __future__ import annotations

from tests.matrix.table import ORGANISATION, parse

#                                                                 ano out str vie edi adm own sus pho tok sta sup
SECTIONS = {
    "api: the organisation": parse(
        ORGANISATION,
        """
GET    /api/organisation                                        401 403 403 200 200 200 200 403 200 200 403 403
GET    /api/billing                                             401 403 403 200 200 200 200 403 403 200 403 403
""",
    ),
    "api: people": parse(
        ORGANISATION,
        """
# People and roles are changed by who administers users, in a session: never by a token.
# Ownership moves by its owner alone; another organisation's id is not there.
GET    /api/orgs                                                401 403 403 200 200 200 200 403 403 200 403 403
GET    /api/orgs/{organisation}                                 401 403 403 200 200 200 200 403 403 200 403 403
PUT    /api/orgs/{organisation}                                 401 403 403 403 403 200 200 403 403 403 403 403  {"displayName": "Renamed"}
GET    /api/orgs/{nobody}                                       401 403 403 404 404 404 404 403 403 404 403 403
POST   /api/orgs/{organisation}/leave                           401 403 403 204 204 204 409 403 403 403 403 403
GET    /api/orgs/{organisation}/members                         401 403 403 200 200 200 200 403 403 200 403 403
POST   /api/orgs/{organisation}/members                         401 403 403 403 403 202 202 403 403 403 403 403  {"userId": "{mail}", "role": "viewer"}
POST   /api/orgs/{organisation}/members                         401 403 403 403 403 200 200 403 403 403 403 403  {"userId": "{colleague}", "role": "editor"}
POST   /api/orgs/{organisation}/members                         401 403 403 403 403 403 200 403 403 403 403 403  {"userId": "{colleague}", "role": "owner"}
DELETE /api/orgs/{organisation}/members/{colleague}             401 403 403 403 403 204 204 403 403 403 403 403
DELETE /api/orgs/{organisation}/members/{owner}                 401 403 403 403 403 400 400 403 403 403 403 403
GET    /api/orgs/{organisation}/invitations                     401 403 403 200 200 200 200 403 403 200 403 403
DELETE /api/orgs/{organisation}/invitations/{invitation}        401 403 403 403 403 204 204 403 403 403 403 403
POST   /api/orgs/{organisation}/invitations/{invitation}/resend 401 403 403 403 403 200 200 403 403 403 403 403
""",
    ),
    "api: roles": parse(
        ORGANISATION,
        """
# Nobody changes their own roles or removes themselves; built-in roles stay as they are.
GET    /api/admin/roles                                         401 403 403 200 200 200 200 403 403 200 403 403
POST   /api/admin/roles                                         401 403 403 403 403 200 200 403 403 403 403 403  {"id": "helper", "name": "Helper", "permissions": [{"action": "read", "resource": "nodes"}]}
GET    /api/admin/roles/{role}                                  401 403 403 200 200 200 200 403 403 200 403 403
POST   /api/admin/roles/{role}                                  401 403 403 403 403 400 400 403 403 403 403 403  {"id": "helper", "name": "Helper"}
PUT    /api/admin/roles/{role}                                  401 403 403 403 403 200 200 403 403 403 403 403  {"name": "Helper", "permissions": [{"action": "read", "resource": "nodes"}]}
PUT    /api/admin/roles/{builtin}                               401 403 403 403 403 409 409 403 403 403 403 403  {"name": "Helper", "permissions": []}
DELETE /api/admin/roles/{role}                                  401 403 403 403 403 204 204 403 403 403 403 403
DELETE /api/admin/roles/{builtin}                               401 403 403 403 403 409 409 403 403 403 403 403
GET    /api/admin/users                                         401 403 403 200 200 200 200 403 403 200 403 403
GET    /api/admin/users/{colleague}                             401 403 403 200 200 200 200 403 403 200 403 403
DELETE /api/admin/users/{colleague}                             401 403 403 403 403 204 204 403 403 403 403 403
DELETE /api/admin/users/{me}                                    401 403 403 403 403 403 403 403 403 403 403 403
GET    /api/admin/users/{colleague}/effective                   401 403 403 200 200 200 200 403 403 200 403 403
GET    /api/admin/users/{colleague}/permissions                 401 403 403 200 200 200 200 403 403 200 403 403
PUT    /api/admin/users/{colleague}/roles                       401 403 403 403 403 204 204 403 403 403 403 403  {"roleIds": ["operator"]}
POST   /api/admin/users/{colleague}/roles                       401 403 403 403 403 204 204 403 403 403 403 403  {"roleIds": ["operator"]}
PUT    /api/admin/users/{me}/roles                              401 403 403 403 403 403 403 403 403 403 403 403  {"roleIds": ["admin"]}
GET    /api/admin/rbac/changelog                                401 403 403 200 200 200 200 403 403 200 403 403
GET    /api/admin/rbac/integrity                                401 403 403 200 200 200 200 403 403 200 403 403
""",
    ),
    "api: tokens and devices": parse(
        ORGANISATION,
        """
# Everybody has tokens of their own; others' are for who administers people. What a token may is
# never more than its maker may.
GET    /api/security/tokens                                     401 403 403 200 200 200 200 403 403 200 403 403
POST   /api/security/tokens                                     401 403 403 201 201 201 201 403 403 403 403 403  {"name": "mine", "scopes": ["settings:read"]}
POST   /api/security/tokens                                     401 403 403 403 403 201 201 403 403 403 403 403  {"name": "mine", "scopes": ["settings:write"]}
GET    /api/security/tokens/{my_token}                          401 403 403 200 200 200 200 403 403 200 403 403
GET    /api/security/tokens/{colleagues_token}                  401 403 403 403 403 200 200 403 403 403 403 403
PATCH  /api/security/tokens/{my_token}                          401 403 403 200 200 200 200 403 403 403 403 403  {"name": "renamed"}
PATCH  /api/security/tokens/{colleagues_token}                  401 403 403 403 403 200 200 403 403 403 403 403  {"name": "renamed"}
DELETE /api/security/tokens/{my_token}                          401 403 403 204 204 204 204 403 403 403 403 403
DELETE /api/security/tokens/{colleagues_token}                  401 403 403 403 403 204 204 403 403 403 403 403
POST   /api/security/tokens/relay-mobile                        401 403 403 403 403 200 200 403 403 403 403 403  {"name": "Ann's phone"}
GET    /api/security/devices                                    401 403 403 200 200 200 200 403 403 200 403 403
GET    /api/security/devices/{my_phone}                         401 403 403 200 200 200 200 403 403 200 403 403
GET    /api/security/devices/{colleagues_phone}                 401 403 403 403 403 200 200 403 403 403 403 403
PATCH  /api/security/devices/{my_phone}                         401 403 403 200 200 200 200 403 403 403 403 403  {"name": "renamed"}
PATCH  /api/security/devices/{colleagues_phone}                 401 403 403 403 403 200 200 403 403 403 403 403  {"name": "renamed"}
DELETE /api/security/devices/{my_phone}                         401 403 403 204 204 204 204 403 403 403 403 403
DELETE /api/security/devices/{colleagues_phone}                 401 403 403 403 403 204 204 403 403 403 403 403
""",
    ),
    "api: single sign-on": parse(
        ORGANISATION,
        """
# The last is 400: no such provider answers here.
GET    /api/security/sso/providers                              401 403 403 200 200 200 200 403 403 200 403 403
POST   /api/security/sso/providers                              401 403 403 403 403 201 201 403 403 403 403 403  {"id": "okta", "name": "Okta", "type": "oidc", "issuerUrl": "https://login.invalid", "clientId": "pulse"}
GET    /api/security/sso/providers/{provider}                   401 403 403 200 200 200 200 403 403 200 403 403
PUT    /api/security/sso/providers/{provider}                   401 403 403 403 403 200 200 403 403 403 403 403  {"name": "Okta", "issuerUrl": "https://login.invalid", "clientId": "pulse"}
DELETE /api/security/sso/providers/{provider}                   401 403 403 403 403 204 204 403 403 403 403 403
GET    /api/security/sso/providers/{provider}/mappings          401 403 403 200 200 200 200 403 403 200 403 403
PUT    /api/security/sso/providers/{provider}/mappings          401 403 403 403 403 200 200 403 403 403 403 403  {"groupRoleMappings": {"staff": "viewer"}}
POST   /api/security/sso/providers/{provider}/test              401 403 403 403 403 400 400 403 403 403 403 403  {}
""",
    ),
    "api: audit": parse(
        ORGANISATION,
        """
# `settings:read` is not `audit:read`.
GET    /api/audit                                               401 403 403 200 200 200 200 403 403 403 403 403
GET    /api/audit/export                                        401 403 403 200 200 200 200 403 403 403 403 403
GET    /api/audit/summary                                       401 403 403 200 200 200 200 403 403 403 403 403
GET    /api/audit/{event}/verify                                401 403 403 200 200 200 200 403 403 403 403 403
""",
    ),
    "api: relay and onboarding": parse(
        ORGANISATION,
        """
# A code is made for a phone's own token, so everybody else is told 409 what is missing.
GET    /api/settings/relay                                      401 403 403 200 200 200 200 403 403 200 403 403
PUT    /api/settings/relay                                      401 403 403 403 403 200 200 403 403 403 403 403  {"enabled": true}
GET    /api/settings/relay/status                               401 403 403 200 200 200 200 403 200 200 403 403
GET    /api/onboarding/qr                                       401 403 403 409 409 409 409 403 200 409 403 403
GET    /api/onboarding/qr.svg                                   401 403 403 409 409 409 409 403 200 409 403 403
GET    /api/onboarding/deep-link                                401 403 403 409 409 409 409 403 200 409 403 403
POST   /api/onboarding/validate                                 401 403 403 200 200 200 200 403 200 200 403 403  {}
""",
    ),
    "api: elsewhere": parse(
        ORGANISATION,
        """
# What is not there is not there behind the door only; a phone may not even ask, except for what an
# instance with monitoring would answer it.
GET    /api/{name}                                              401 403 403 404 404 404 404 403 403 404 403 403
POST   /api/{name}                                              401 403 403 404 404 404 404 403 403 404 403 403
PUT    /api/{name}                                              401 403 403 404 404 404 404 403 403 404 403 403
PATCH  /api/{name}                                              401 403 403 404 404 404 404 403 403 404 403 403
DELETE /api/{name}                                              401 403 403 404 404 404 404 403 403 404 403 403
GET    /api/{monitoring}                                        401 403 403 404 404 404 404 403 404 404 403 403
""",
    ),
}
