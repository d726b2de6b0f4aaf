"""The runner of documented commands itself: it must fail where a page is wrong."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.docs import console

PAGE = """
# A page

```python
$ not a command
```

1. In a list:

   ```console
   $ NAME=World
   $ echo "Hello \\
   >   $NAME" && echo again
   Hello …
   again

   $ printf '{"id": "%s",\\n "rest": [1,\\n 2]}\\n' abc; echo done
   {"id": "…",
    …]}
   done
   ```

```console
$ echo $NAME >kept; cat kept
World
$ echo 'one
> two'
one
two
$ cat
```
"""


def run(tmp_path: Path, text: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    console.run(page, env={"PATH": os.environ["PATH"]}, cwd=tmp_path)


def test_works(tmp_path: Path) -> None:
    run(tmp_path, PAGE)
    assert (tmp_path / "kept").read_text() == "World\n"


@pytest.mark.parametrize(
    ("block", "says"),
    [
        ("$ echo one\ntwo", "page says"),
        ("$ echo one", "page says"),
        ("$ true\nsomething", "page says"),
        ("$ echo one; echo two\none", "page says"),
        ("$ echo one\n…two", "page says"),
        ("$ false", "status 1"),
        ("$ exit 0", "the shell ended"),
        ("$ missing-command\n…", "status 127"),
    ],
    ids=["other", "unsaid", "silent", "more", "pattern", "status", "exit", "missing"],
)
def test_a_wrong_page_fails_and_names_the_line(tmp_path: Path, block: str, says: str) -> None:
    with pytest.raises(AssertionError, match=says) as failed:
        run(tmp_path, f"text\n\n```console\n$ true\n{block}\n```\n")
    assert "page.md:5" in str(failed.value)


def test_the_first_wrong_command_is_named(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"page\.md:2"):
        run(tmp_path, "```console\n$ echo wrong\nright\n$ false\n```\n")


def test_a_page_without_commands_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="no console block"):
        run(tmp_path, "```text\n$ echo\n```\n")
    with pytest.raises(ValueError, match="starts with"):
        run(tmp_path, "```console\noutput\n```\n")
