"""A person's real browser: Chromium, watched for everything that it complains about.

Chromium resolves *.localhost to loopback by itself. While it runs, this thread has an event loop
in which Django's ORM refuses to work: mint what a test needs before, or use the product's doors.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import ConsoleMessage, Page, Response, sync_playwright

from tests.plugin_not_run import CHROMIUM

ARGUMENTS = [
    "--no-sandbox",  # tests may run as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PHONE = (360, 740)
DESKTOP = (1280, 800)


class Person:
    """One browser window. `complaints` is what the console, scripts and answers said against us."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.expected_statuses: set[int] = set()
        page.set_default_timeout(15_000)
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.complaints.append(f"script: {error}"))
        page.on("response", self._answered)

    def sees(self, text: str) -> None:
        """Waits until this text is visible; fails the test otherwise."""
        self.page.get_by_text(text).first.wait_for(state="visible")

    def sees_not(self, text: str) -> None:
        assert not self.page.get_by_text(text).first.is_visible(), f"shows {text!r}"

    def presses(self, name: str) -> None:
        self.page.get_by_role("button", name=name).click()

    def follows(self, name: str) -> None:
        self.page.get_by_role("link", name=name).first.click()

    def fills(self, label: str, value: str) -> None:
        self.page.get_by_label(label, exact=False).fill(value)

    def fits(self) -> None:
        """Nothing sticks out to the side, and every control is named for a screen reader."""
        too_wide = self.page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        assert too_wide <= 0, f"{self.page.url} is {too_wide} px too wide"
        nameless = self.page.evaluate(
            """[...document.querySelectorAll('main a, main button, main input:not([type=hidden])')]
               .filter(e => !(e.textContent.trim() || e.ariaLabel || (e.labels && e.labels.length)
                              || e.hidden)).map(e => e.outerHTML)"""
        )
        assert not nameless, nameless

    def _said(self, message: ConsoleMessage) -> None:
        # A page with another status than 200 is reported as a resource that failed to load.
        if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
            self.complaints.append(f"console: {message.text}")

    def _answered(self, response: Response) -> None:
        if response.status >= 400 and response.status not in self.expected_statuses:
            self.complaints.append(f"{response.status} from {response.url}")


@contextmanager
def person(
    *, size: tuple[int, int] = DESKTOP, scheme: str = "light", scripts: bool = True
) -> Iterator[Person]:
    """A fresh browser without history; nothing it complains about goes unnoticed."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        context = browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme="dark" if scheme == "dark" else "light",
            java_script_enabled=scripts,
        )
        somebody = Person(context.new_page())
        yield somebody
        assert not somebody.complaints, somebody.complaints
        browser.close()
