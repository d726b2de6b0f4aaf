"""`manage.py welcome`: proves the main job, then prints where to go (design section 8)."""

from __future__ import annotations

import io
import os
import sys
import time
from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

import segno
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from audit import trail
from audit.actors import Actor
from rbac import tokens
from relay import onboarding
from tenants import links, provisioning, signup
from tenants.accounts import entry
from tenants.models import LinkPurpose, MemberRole, Organisation, State, User
from tenants.schemas import in_schema

DEMO_LABEL = "demo"
STAFF_EMAIL = "staff@example.test"
OWNER_EMAIL = "owner@example.test"
LINK_MINUTES = 15
CONNECTED_WITHIN = 15.0  # seconds
PYTHON = os.path.relpath(sys.executable)


class Command(BaseCommand):
    help = (
        "Runs the proof and prints the addresses of a development installation: staff admin and "
        "demo organisation, each with a fresh 15-minute single-use sign-in link, and a QR code "
        "to pair a phone. Refused in production."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--no-proof", action="store_true", help="print the addresses only")

    def handle(self, *args: Any, **options: Any) -> None:
        if settings.PRODUCTION:
            raise CommandError("In production there are no demo data and no one-time links.")
        passed = True
        if not options["no_proof"]:
            try:
                call_command("prove", stdout=self.stdout)
            except SystemExit:
                passed = False
        demo = demo_organisation()
        staff, _ = User.objects.get_or_create(
            email=STAFF_EMAIL, defaults={"is_staff": True, "is_superuser": True, "name": "Staff"}
        )
        say = self.stdout.write
        say("")
        say(f"PulseCloud {settings.VERSION} is running (PULSE_HOSTED_MODE=true).")
        say(f"  Staff admin        {settings.PUBLIC_URL}/admin/")
        say(f"    sign in          {sign_in_link(staff, '/admin/')}")
        if demo.state == State.ACTIVE:
            owner = demo.memberships.get(role=MemberRole.OWNER).user
            say(f"  Demo organisation  {settings.PUBLIC_URL}/o/{demo.label}/")
            say(f"    sign in          {sign_in_link(owner, f'/o/{demo.label}/')}")
            self.offer_pairing(demo, owner)
        else:
            say(f"  Demo organisation  is {demo.state}: see it in staff admin.")
        say(f"  The sign-in links work once, for {LINK_MINUTES} minutes; new ones:")
        say(f"    {PYTHON} manage.py welcome --no-proof")
        say("  Ctrl-C stops everything.")
        if not passed:
            sys.exit(1)

    def offer_pairing(self, demo: Organisation, owner: User) -> None:
        _, secret = tokens.issue(
            demo,
            user=owner,
            name="Phone paired from the terminal",
            scopes=["relay:mobile:access"],
            purpose="relay_mobile_access",
            unused_for=timedelta(minutes=10),
            actor=Actor.system("welcome"),
        )
        say = self.stdout.write
        try:
            link = pairing_link(demo, secret)
        except onboarding.NotReady as not_ready:
            say("  A phone cannot pair yet:")
            for diagnostic in not_ready.diagnostics:
                say(f"    {diagnostic.message}")
            return
        say("  Pair a phone (the code dies in 10 minutes unless used):")
        say("")
        picture = io.StringIO()
        segno.make(link, error="l").terminal(picture, border=2, compact=True)
        say(picture.getvalue())
        say("  or try it without a phone:")
        say(f"    {PYTHON} manage.py phone '{link}'")
        if "//127.0.0.1" in settings.RELAY_PUBLIC_URL or "//localhost" in settings.RELAY_PUBLIC_URL:
            say("  The relay listens on loopback, so this code works on this machine only. For a")
            say("  phone on your network start with PULSE_RELAY_ADDR=0.0.0.0:8001 and")
            say("  PULSE_RELAY_PUBLIC_URL=ws://<this machine's address>:8001.")


def pairing_link(organisation: Organisation, secret: str) -> str:
    """Raises onboarding.NotReady when the runtime has not connected within some seconds."""
    deadline = time.monotonic() + CONNECTED_WITHIN
    while True:
        try:
            with in_schema(organisation):
                return onboarding.prepare(organisation, token=secret).pairing.link()
        except onboarding.NotReady:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def sign_in_link(user: User, target: str) -> str:
    trail.record(
        action="sign_in_link_printed",
        actor=Actor.system("manage.py welcome"),
        subject=str(user.pk),
    )
    token = links.mint(
        purpose=LinkPurpose.SIGN_IN,
        user=user,
        target=target,
        life=timedelta(minutes=LINK_MINUTES),
        prefix=entry.PRINTED,
    )
    return f"{settings.PUBLIC_URL}/sign-in/{token}"


def demo_organisation() -> Organisation:
    """The demo organisation, made by the ordinary verbs on the first run and found on later ones."""
    found = Organisation.objects.filter(label=DEMO_LABEL).exclude(state=State.EXPIRED).first()
    if found is not None:
        return found
    organisation = signup.request_organisation(
        email=OWNER_EMAIL, org_name="Demo organisation", host_label=DEMO_LABEL
    )
    signup.prove_mailbox(organisation)
    provisioning.wait_until_settled(organisation, seconds=30)
    organisation.refresh_from_db()
    return organisation
