"""A real identity provider in a process of its own: canaille, with people and groups of the test.

    python tests/sso/canaille_server.py PORT FILE

FILE holds {"client": {id, secret, callbacks}, "people": {name: {email, password, full_name}},
"groups": {group: [names]}}. Prints "ready" once it listens. Each further line on standard input is
{"groups": …}, which replaces the groups, and is answered with "done".

It imports nothing of ours, and stands outside the test process because it brings Flask and its own
event handling along.
"""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path
from typing import Any

from canaille import create_app
from canaille.app import models
from canaille.backends import Backend
from werkzeug.serving import WSGIRequestHandler, make_server


class Quiet(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


def main(port: int, wanted: dict[str, Any]) -> None:
    app = create_app(
        {
            "SECRET_KEY": "only for tests",
            "SERVER_NAME": f"localhost:{port}",
            "PREFERRED_URL_SCHEME": "http",
            "TESTING": False,
            "CANAILLE": {
                "ENABLE_REGISTRATION": False,
                "SMTP": None,
                "LOGGING": {
                    "version": 1,
                    "root": {"level": "ERROR", "handlers": []},
                    "disable_existing_loggers": True,
                },
            },
            "CANAILLE_OIDC": {"REQUIRE_NONCE": True},
        }
    )
    with app.app_context(), Backend.instance.session():
        for name, person in wanted["people"].items():
            Backend.instance.save(
                models.User(
                    user_name=name,
                    formatted_name=person["full_name"],
                    family_name=person["full_name"].split()[-1],
                    emails=[person["email"]],
                    password=person["password"],
                )
            )
        client = wanted["client"]
        ours = models.Client(
            client_id=client["id"],
            client_secret=client["secret"],
            client_name="PulseCloud",
            redirect_uris=client["callbacks"],
            grant_types=["authorization_code"],
            response_types=["code"],
            scope=["openid", "profile", "email", "groups"],
            token_endpoint_auth_method="client_secret_basic",
            client_uri="http://localhost",  # in a trusted domain: no page that asks for consent
        )
        Backend.instance.save(ours)
        ours.audience = [ours]  # or its tokens would be for nobody; by id, so it is stored before
        Backend.instance.save(ours)
        set_groups(wanted["groups"])
    server = make_server("127.0.0.1", port, app, threaded=True, request_handler=Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print("ready", flush=True)
    for line in sys.stdin:
        with app.app_context(), Backend.instance.session():
            set_groups(json.loads(line)["groups"])
        print("done", flush=True)


def set_groups(groups: dict[str, list[str]]) -> None:
    """Exactly these; a group cannot be empty."""
    for group in Backend.instance.query(models.Group):
        if group.display_name not in groups:
            Backend.instance.delete(group)
    for name, members in groups.items():
        group = Backend.instance.get(models.Group, display_name=name)
        group = group or models.Group(display_name=name)
        group.members = [Backend.instance.get(models.User, user_name=m) for m in members]
        Backend.instance.save(group)


if __name__ == "__main__":
    main(int(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text(encoding="utf-8")))
