"""`manage.py phone`: the reference phone in a terminal."""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import textwrap
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from contextlib import aclosing
from pathlib import Path
from time import perf_counter
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from relay.phone import ANSWER_TIMEOUT, Phone, PhoneError
from relay.wire import proxy

# Exit codes, also told by --help.
ANSWERED_WITH_ERROR, NOT_PAIRED, NOT_CONNECTED, WRONG_IDENTITY = 1, 2, 3, 4

DESCRIPTION = """\
Pairs with an organisation from its pairing link alone, as the mobile app does: connects through
the relay, checks that the organisation's identity key signed the key exchange, sends sealed
requests and prints the answers with their timings. Needs no database. The link holds a token, so
give it on standard input where others can see your processes; it is never printed.

  manage.py phone 'pulse://connect?…'
  pbpaste | manage.py phone -
  manage.py phone - --path /api/organisation --path /api/settings/relay/status < link.txt
  manage.py phone 'pulse://connect?…' --repeat 100 --json

Exit code: 0 every answer was below 400; 1 some answer was not; 2 the link is incomplete or the
options are wrong; 3 the relay or the organisation refused, or the connection broke (the message
says what to do next); 4 somebody without the pinned identity answered.
"""


class Command(BaseCommand):
    help = DESCRIPTION
    requires_system_checks: list[str] = []

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        kwargs["formatter_class"] = RawDescriptionHelpFormatter
        return super().create_parser(prog_name, subcommand, **kwargs)

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("link", help="the pairing link, or - to read it from standard input")
        parser.add_argument(
            "--path",
            action="append",
            metavar="PATH",
            help="what to ask for; may be given several times (default: /api/organisation)",
        )
        parser.add_argument("--method", default="GET", help="HTTP method (default: GET)")
        parser.add_argument(
            "--body", default="", help="request body, sent as JSON; @FILE reads it from a file"
        )
        parser.add_argument("--json", action="store_true", help="print one JSON document")
        parser.add_argument(
            "--repeat", type=int, default=1, metavar="N", help="ask N times and sum up the timings"
        )
        parser.add_argument(
            "--timeout",
            type=float,
            default=ANSWER_TIMEOUT,
            metavar="SECONDS",
            help=f"how long to wait for each answer (default: {ANSWER_TIMEOUT:g})",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["repeat"] < 1 or options["timeout"] <= 0:
            raise CommandError("--repeat and --timeout must be positive.", returncode=NOT_PAIRED)
        link = sys.stdin.readline() if options["link"] == "-" else options["link"]
        try:
            phone = Phone.from_link(link, timeout=options["timeout"])
            failed = asyncio.run(self.talk(phone, options))
        except PhoneError as error:
            raise self.refusal(error, as_json=options["json"]) from None
        except KeyboardInterrupt:
            raise CommandError("Interrupted.", returncode=130) from None
        if failed:
            sys.exit(ANSWERED_WITH_ERROR)

    async def talk(self, phone: Phone, options: dict[str, Any]) -> bool:
        """Whether any answer was an error."""
        body, as_json = read_body(options["body"]), options["json"]
        headers = {"content-type": "application/json"} if body else {}
        answers: list[dict[str, Any]] = []
        async with phone:
            if not as_json:
                self.introduce(phone)
            for path in (options["path"] or ["/api/organisation"]) * options["repeat"]:
                quiet = as_json or options["repeat"] > 1
                answers.append(
                    await self.ask(phone, options["method"], path, headers, body, quiet=quiet)
                )
        if as_json:
            document = {**facts(phone), "answers": answers, "milliseconds": summary(answers)}
            self.stdout.write(json.dumps(document, indent=2))
        elif options["repeat"] > 1:
            figures = ", ".join(f"{k} {v:.1f}" for k, v in summary(answers).items())
            self.stdout.write(f"{len(answers)} answers; milliseconds: {figures}")
        return any(answer["status"] >= 400 for answer in answers)

    def introduce(self, phone: Phone) -> None:
        timings = phone.timings
        self.stdout.write(f"Instance  {printable(phone.pairing.instance_id)}")
        self.stdout.write(f"Identity  {phone.identity_fingerprint} (signature verified)")
        self.stdout.write(f"Relay     {printable(phone.pairing.relay_url)}")
        if timings:
            self.stdout.write(
                f"Connected in {sum(timings):.1f} ms: dialled {timings.dialled:.1f}, "
                f"accepted {timings.accepted:.1f}, sealed {timings.sealed:.1f}"
            )

    async def ask(
        self,
        phone: Phone,
        method: str,
        path: str,
        headers: dict[str, str],
        body: bytes,
        *,
        quiet: bool,
    ) -> dict[str, Any]:
        """Prints the answer (an event stream as it comes) and returns it for --json."""
        started = perf_counter()
        answer: dict[str, Any] = {"method": method, "path": path, "events": []}
        responses = phone.responses(method, path, headers=headers, body=body)
        async with aclosing(responses):
            async for response in responses:
                if "status" not in answer or response.status >= 400:
                    answer["status"] = response.status
                    answer["headers"] = response.headers
                    answer["body"] = readable(response)
                    answer["milliseconds"] = round((perf_counter() - started) * 1000, 3)
                    if not quiet:
                        self.stdout.write(
                            f"\n{method} {path}  {response.status}  {answer['milliseconds']:.1f} ms"
                        )
                        self.stdout.write(shown(answer["body"]))
                elif response.stream:
                    event = response.body.decode("utf-8", "replace")
                    answer["events"].append(event)
                    if not quiet:
                        self.stdout.write(textwrap.indent(printable(event), "  ") + "\n")
        return answer

    def refusal(self, error: PhoneError, *, as_json: bool) -> CommandError:
        if as_json:
            document = {
                "error": error.code,
                "message": error.what,
                "advice": error.advice,
                "pairing_is_over": error.pairing_is_over,
            }
            self.stdout.write(json.dumps(document, indent=2))
        if error.code in ("LINK_INVALID", "IDENTITY_MISSING", "TOO_LARGE"):
            exit_code = NOT_PAIRED
        else:
            exit_code = WRONG_IDENTITY if error.code == "IDENTITY_MISMATCH" else NOT_CONNECTED
        return CommandError(
            f"{printable(error.code)}: {printable(error.what)}\n{error.advice}",
            returncode=exit_code,
        )


def read_body(text: str) -> bytes:
    if not text.startswith("@"):
        return text.encode()
    try:
        return Path(text[1:]).read_bytes()
    except OSError as error:
        raise CommandError(f"--body: {error}", returncode=NOT_PAIRED) from None


def facts(phone: Phone) -> dict[str, Any]:
    return {
        "instance_id": phone.pairing.instance_id,
        "identity_fingerprint": phone.identity_fingerprint,
        "relay_url": phone.pairing.relay_url,
        "connected_in_milliseconds": phone.timings._asdict() if phone.timings else None,
    }


def summary(answers: list[dict[str, Any]]) -> dict[str, float]:
    times = sorted(answer["milliseconds"] for answer in answers)
    return {
        "least": times[0],
        "median": statistics.median(times),
        "p95": times[min(len(times) - 1, round(len(times) * 0.95))],
        "most": times[-1],
    }


def readable(response: proxy.Response) -> Any:
    """The body as JSON if it is, else as text."""
    try:
        return json.loads(response.body)
    except ValueError:
        return response.body.decode("utf-8", "replace")


def shown(body: Any) -> str:
    return printable(body if isinstance(body, str) else json.dumps(body, indent=2))


def printable(text: str) -> str:
    """What came from outside must not steer the terminal."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)
