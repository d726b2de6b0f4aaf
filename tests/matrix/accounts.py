"""The permission matrix of account pages, all on the base domain.

They are about the person who is signed in, whoever that is; nobody here has a password or a second
factor.
"""

from __future__ import annotations

from tests.matrix.table import BASE, parse

#                                                                 ano out str vie edi adm own sus pho tok sta sup
SECTIONS = {
    "accounts: sign-in": parse(
        BASE,
        """
GET    /accounts/login/                                         200 302 302 302 302 302 302 302 200 200 302 302
POST   /accounts/login/                                         200 302 302 302 302 302 302 302 200 200 302 302  {"login": "{mail}", "password": "nothing right"}
GET    /accounts/login/code/confirm/                            302 302 302 302 302 302 302 302 302 302 302 302
POST   /accounts/login/code/confirm/                            302 302 302 302 302 302 302 302 302 302 302 302
GET    /accounts/logout/                                        302 200 200 200 200 200 200 200 302 302 200 200
POST   /accounts/logout/                                        302 302 302 302 302 302 302 302 302 302 302 302
GET    /accounts/signup/                                        302 302 302 302 302 302 302 302 302 302 302 302
POST   /accounts/signup/                                        302 302 302 302 302 302 302 302 302 302 302 302
GET    /accounts/email/                                         302 302 302 302 302 302 302 302 302 302 302 302
POST   /accounts/email/                                         302 302 302 302 302 302 302 302 302 302 302 302
GET    /accounts/confirm-email/                                 302 302 302 302 302 302 302 302 302 302 302 302
POST   /accounts/confirm-email/                                 302 302 302 302 302 302 302 302 302 302 302 302
GET    /accounts/confirm-email/{name}/                          302 302 302 302 302 302 302 302 302 302 302 302
POST   /accounts/confirm-email/{name}/                          302 302 302 302 302 302 302 302 302 302 302 302
GET    /accounts/inactive/                                      200 200 200 200 200 200 200 200 200 200 200 200
POST   /accounts/inactive/                                      405 405 405 405 405 405 405 405 405 405 405 405
GET    /accounts/magic-link/                                    200 200 200 200 200 200 200 200 200 200 200 200
POST   /accounts/magic-link/                                    200 200 200 200 200 200 200 200 200 200 200 200  {"email": "{mail}"}
""",
    ),
    "accounts: passwords": parse(
        BASE,
        """
GET    /accounts/password/change/                               302 302 302 302 302 302 302 302 302 302 302 302
POST   /accounts/password/change/                               302 302 302 302 302 302 302 302 302 302 302 302  {}
GET    /accounts/password/set/                                  302 200 200 200 200 200 200 200 302 302 200 200
POST   /accounts/password/set/                                  302 200 200 200 200 200 200 200 302 302 200 200  {}
GET    /accounts/password/reset/                                200 200 200 200 200 200 200 200 200 200 200 200
POST   /accounts/password/reset/                                302 302 302 302 302 302 302 302 302 302 302 302  {"email": "{mail}"}
GET    /accounts/password/reset/done/                           200 200 200 200 200 200 200 200 200 200 200 200
POST   /accounts/password/reset/done/                           405 405 405 405 405 405 405 405 405 405 405 405
GET    /accounts/password/reset/key/{name}-{name}/              200 200 200 200 200 200 200 200 200 200 200 200
POST   /accounts/password/reset/key/{name}-{name}/              200 200 200 200 200 200 200 200 200 200 200 200
GET    /accounts/password/reset/key/done/                       200 200 200 200 200 200 200 200 200 200 200 200
POST   /accounts/password/reset/key/done/                       405 405 405 405 405 405 405 405 405 405 405 405
""",
    ),
    "accounts: second factor": parse(
        BASE,
        """
GET    /accounts/2fa/                                           302 200 200 200 200 200 200 200 302 302 200 200
POST   /accounts/2fa/                                           302 405 405 405 405 405 405 405 302 302 405 405
GET    /accounts/2fa/authenticate/                              302 302 302 302 302 302 302 302 302 302 302 302
POST   /accounts/2fa/authenticate/                              302 302 302 302 302 302 302 302 302 302 302 302  {"code": "000000"}
GET    /accounts/2fa/reauthenticate/                            302 403 403 403 403 403 403 403 302 302 403 403
POST   /accounts/2fa/reauthenticate/                            302 403 403 403 403 403 403 403 302 302 403 403  {"code": "000000"}
GET    /accounts/2fa/totp/activate/                             302 200 200 200 200 200 200 200 302 302 200 200
POST   /accounts/2fa/totp/activate/                             302 200 200 200 200 200 200 200 302 302 200 200  {"code": "000000"}
GET    /accounts/2fa/totp/deactivate/                           302 404 404 404 404 404 404 404 302 302 404 404
POST   /accounts/2fa/totp/deactivate/                           302 404 404 404 404 404 404 404 302 302 404 404
GET    /accounts/2fa/recovery-codes/                            302 404 404 404 404 404 404 404 302 302 404 404
POST   /accounts/2fa/recovery-codes/                            302 405 405 405 405 405 405 405 302 302 405 405
GET    /accounts/2fa/recovery-codes/generate/                   302 200 200 200 200 200 200 200 302 302 200 200
POST   /accounts/2fa/recovery-codes/generate/                   302 200 200 200 200 200 200 200 302 302 200 200
GET    /accounts/2fa/recovery-codes/download/                   302 404 404 404 404 404 404 404 302 302 404 404
POST   /accounts/2fa/recovery-codes/download/                   302 404 404 404 404 404 404 404 302 302 404 404
""",
    ),
    "accounts: overview": parse(
        BASE,
        """
GET    /accounts/                                               302 200 200 200 200 200 200 200 302 302 200 200
POST   /accounts/                                               302 405 405 405 405 405 405 405 302 302 405 405
GET    /accounts/sessions/                                      302 200 200 200 200 200 200 200 302 302 200 200
POST   /accounts/sessions/                                      302 303 303 303 303 303 303 303 302 302 303 303  {"others": "1"}
GET    /accounts/reauthenticate/                                302 302 302 302 302 302 302 302 302 302 302 302
POST   /accounts/reauthenticate/                                302 200 200 200 200 200 200 200 302 302 200 200  {"password": "nothing right"}
""",
    ),
}
