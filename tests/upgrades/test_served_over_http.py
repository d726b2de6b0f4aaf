"""A running product of today's release answers its organisations while the next release's migrations
go through their schemas, and works on what they leave behind."""

from __future__ import annotations

import secrets
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import httpx

from tenants.models import Organisation
from tests.factories import make_organisation, make_token
from tests.product import ROOT, Member, Product, running_product
from tests.upgrades.looking import columns, recorded
from tests.upgrades.release import write_package

# What the next release may do while this one serves: a column with a default of the database's. Each
# schema's transaction takes a second, longer than any real one, and its tables are locked meanwhile.
SLOW = """
operations = [
    migrations.AddField("role", "colour", models.CharField(max_length=20, db_default="blue")),
    migrations.RunSQL("SELECT pg_sleep(1)"),
]
"""
PYTHON = """
def paint(apps, editor):
    apps.get_model("rbac", "Role").objects.update(colour="green")


operations = [migrations.RunPython(paint, migrations.RunPython.noop)]
"""


def test_nobody_is_refused_and_nobody_is_left_behind(own_db: str, tmp_path: Path) -> None:
    package, added = write_package(tmp_path, SLOW, PYTHON)
    with running_product(database=own_db) as product:
        tokens = {each: make_token(each) for each in [make_organisation() for _ in range(6)]}
        owner = product.signed_up(enter=True)
        written = 0
        with asked_all_the_time(product, tokens) as answers:
            migrating = subprocess.Popen(
                [sys.executable, "manage.py", "migrate_orgs"],
                cwd=ROOT,
                env=product.environment
                | {
                    "DJANGO_SETTINGS_MODULE": "tests.upgrades.settings_next",
                    "NEXT_RELEASE": package,
                    "PYTHONPATH": str(tmp_path),
                },
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            newcomer = product.signed_up(enter=True)  # in the old release's schema
            assert migrating.poll() is None, "the run is over too early to say anything"
            while migrating.poll() is None:
                answers.note(add_role(owner))
                written += 1
                time.sleep(0.3)  # an organisation may have a hundred roles
            told, _ = migrating.communicate()
        assert migrating.returncode == 0, told
        assert "8 of 8 schemas migrated" in told
        for organisation in [*tokens, owner.organisation, newcomer.organisation]:
            assert "colour" in columns(organisation.schema_name)
            assert set(added) <= set(recorded(organisation.schema_name))
        assert set(answers.statuses) == {200}, answers.statuses
        assert answers.statuses[200] > 100 and written > 5
        # An organisation waits for its own second and for locks, and for nobody else's.
        assert median(answers.seconds) < 1 and max(answers.seconds) < 8
        assert add_role(newcomer).status_code == 200


class Answers:
    def __init__(self) -> None:
        self.statuses: Counter[int] = Counter()
        self.seconds: list[float] = []

    def note(self, answer: httpx.Response) -> None:
        self.statuses[answer.status_code] += 1
        self.seconds.append(answer.elapsed.total_seconds())


def add_role(member: Member) -> httpx.Response:
    """As its owner's page does; today's release knows nothing of the new column."""
    return member.browser.request(
        "POST",
        "/api/admin/roles",
        host=member.host,
        json={"id": f"r-{secrets.token_hex(8)}", "name": "A role", "permissions": []},
    )


@contextmanager
def asked_all_the_time(product: Product, tokens: dict[Organisation, str]) -> Iterator[Answers]:
    """Three programs each read all organisations' roles over HTTP."""
    answers, over, client = Answers(), threading.Event(), httpx.Client(timeout=20)

    def ask() -> None:
        while not over.wait(0.05):
            for organisation, token in tokens.items():
                answers.note(
                    client.get(
                        f"http://127.0.0.1:{product.web[1]}/api/admin/roles",
                        headers={
                            "Host": organisation.instance_host,
                            "Authorization": f"Bearer {token}",
                        },
                    )
                )

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        over.set()
        for thread in threads:
            thread.join(60)
        client.close()
