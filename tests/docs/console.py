"""Runs the ```console blocks of a Markdown page, so that what the documentation shows is what happens.

    $ NAME=World; \\
          echo "Hello $NAME"          (goes on after a `\\`, and on lines that start with `> `)
    Hello …

A line that starts with `$ ` is a command; the lines up to the next command or the end of the block
are what it prints, standard output and error together. `…` stands for anything, of one line or of
several. A command that shows nothing must print nothing, and every command must end with status 0.
One shell runs the whole page, so variables and files of one command are there for the next. With
`sections` it runs only what stands under these headings, in that order: a reference that is read by
subject is not written in the order in which things are done.
"""

from __future__ import annotations

import base64
import re
import secrets
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

SECONDS = 120.0  # for one run
_HEADING = re.compile(r"^#+ (.*\S)\s*$")
_FENCE = re.compile(r"^(\s*)```(\w*)\s*$")


@dataclass
class Command:
    """One command of a page: `line` counts from 1; `shown` are the lines that it should print.

    `heading` is the one that it stands under.
    """

    line: int
    text: str
    shown: list[str] = field(default_factory=list)
    heading: str = ""

    def prints(self, output: str) -> bool:
        wanted = "\n".join(self.shown).strip()
        pattern = ".*?".join(re.escape(part.strip(" ")) for part in wanted.split("…"))
        pattern = pattern.replace(".*?", r"\s*.*?\s*")
        lines = "\n".join(line.rstrip() for line in output.splitlines()).strip()
        return re.fullmatch(pattern, lines, re.DOTALL) is not None


def commands(path: Path) -> list[Command]:
    """The commands of a page in order. Raises ValueError for a block that starts with output."""
    found: list[Command] = []
    inside, indent, continued, heading = "", "", False, ""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if fence := _FENCE.match(line):
            inside = "" if inside else (fence[2] or "text")
            indent, continued = fence[1], False
            if inside == "console":
                found.append(
                    Command(number, "", heading=heading)
                )  # what stands before the first command
            continue
        if inside != "console":
            if not inside and (title := _HEADING.match(line)):
                heading = title[1]
            continue
        text = line.removeprefix(indent).rstrip()
        more = text.startswith("> ") and found[-1].text and not found[-1].shown
        if continued or more:
            found[-1].text += "\n" + text.removeprefix("> ")
        elif text.startswith("$ "):
            found.append(Command(number, text.removeprefix("$ "), heading=heading))
        elif text and not found[-1].text:
            raise ValueError(f"{path}:{number}: a console block starts with `$ `")
        else:
            found[-1].shown.append(text)
            continue
        continued = found[-1].text.endswith("\\")
    return [command for command in found if command.text]


def run(
    path: Path,
    *,
    env: dict[str, str],
    cwd: Path | str,
    sections: Sequence[str] | None = None,
    seconds: float = SECONDS,
) -> None:
    """Runs every command of `path` with bash in `cwd`; `env` is its whole environment.

    `sections` are headings of the page: only theirs are run, in that order.

    Raises AssertionError, naming the line, for the first command that failed or printed something
    else than the page says.
    """
    todo = commands(path)
    if sections is not None:
        todo = [each for heading in sections for each in todo if each.heading == heading]
        empty = set(sections) - {each.heading for each in todo}
        assert not empty, f"{path} has no console block under {empty}"
    assert todo, f"{path} has no console block"
    mark = secrets.token_hex(8)
    with tempfile.NamedTemporaryFile("w", suffix=".sh") as script:
        for number, command in enumerate(todo):
            text = base64.b64encode(command.text.encode()).decode()
            script.write(
                f'eval "$(printf %s {text} | base64 -d)" </dev/null 2>&1\n'
                f"printf '\\n%s %d %d\\n' {mark} {number} $?\n"
            )
        script.flush()
        process = subprocess.run(
            ["bash", "--noprofile", "--norc", script.name],
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=seconds,
            check=False,
        )
    rest = process.stdout.decode(errors="replace")
    for number, command in enumerate(todo):
        output, found, rest = rest.partition(f"\n{mark} {number} ")
        place = f"{path}:{command.line}\n$ {command.text}\n"
        assert found, f"{place}the shell ended here:\n{output}"
        status, _, rest = rest.partition("\n")
        assert status == "0", f"{place}ended with status {status}:\n{output}"
        shown = "\n".join(command.shown)
        assert command.prints(output), f"{place}--- printed\n{output}\n--- the page says\n{shown}"
