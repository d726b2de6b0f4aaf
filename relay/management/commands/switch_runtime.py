"""`manage.py switch_runtime`: who serves an organisation's phones."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from audit.actors import Actor
from billing import refresh
from relay.runtime_choice import switch_runtime
from tenants.hosts import organisation_at
from tenants.models import Runtime

ACTOR = Actor.system("manage.py switch_runtime")


class Command(BaseCommand):
    help = (
        "external: the built-in runtime stops serving the organisation, its phones are retired, and "
        "a refresh token for the owner's own runtime is printed, once. Again: a new token; the "
        "earlier one ends. builtin: the refresh token ends and the built-in runtime serves again; "
        "stop the other one first, for it holds a lease of up to 24 hours."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("label", help="the organisation's label")
        parser.add_argument("to", choices=[choice.value for choice in Runtime])
        parser.add_argument("--reason", default="", help="for the audit trail")

    def handle(self, *args: Any, **options: Any) -> None:
        organisation = organisation_at(options["label"])
        if organisation is None:
            raise CommandError(f"There is no organisation {options['label']}.")
        to, reason = Runtime(options["to"]), options["reason"]
        organisation = switch_runtime(organisation=organisation, to=to, actor=ACTOR, reason=reason)
        self.stderr.write(f"{organisation.label}: {organisation.get_runtime_display()} runtime")
        if to == Runtime.EXTERNAL:
            try:
                token = refresh.issue_refresh_token(organisation, actor=ACTOR, reason=reason)
            except refresh.NotExternal as refused:
                raise CommandError(f"No refresh token: {refused}") from None
            self.stdout.write(token)
