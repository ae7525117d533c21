"""Pages in a real browser: Debian's chromium, driven by playwright, watched for whatever a page must not do.

A `Window` is one page in a context of its own. What goes wrong in it (an error or a refusal by the content security
policy in the console, an exception of a script, a request that fails or that would leave this machine) is noted, and
`finish` fails with all of it; the fixtures of conftest.py call it. `window.check("estate")` holds one state of a page
against everything that holds for each: no violation of WCAG 2.2 AA that axe-core finds, nothing to scroll sideways, at
desktop width and at 320 px, in light and in dark. With CARETAKER_SCREENSHOTS=FOLDER it also leaves pictures there.

The browser's own clock is in another time zone on purpose: what a page shows is the school's time.
"""

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, Literal, Protocol

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, Route, sync_playwright

WIDE, PHONE = (1280, 900), (320, 640)
Colours = Literal["light", "dark"]
Look = tuple[tuple[int, int], Colours]
LOOKS: list[Look] = list(product((WIDE, PHONE), ("light", "dark")))
TWO_LOOKS: list[Look] = [(WIDE, "dark"), (PHONE, "light")]
"""For a state that is built like one which was looked at from all sides."""
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
SCREENSHOTS = "CARETAKER_SCREENSHOTS"

_ELSEWHERE = re.compile(r"^(?!(https?|wss?)://(127\.0\.0\.1|localhost)[:/]|data:|blob:|about:).*", re.IGNORECASE)
_FLAGS = [
    "--no-sandbox",  # chromium's own refuses to run for root, as in a container
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
]

_AXE = Axe()


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser without a screen. It is installed by scripts/setup.sh; a test does not go without it."""
    path = shutil.which("chromium")
    assert path, "there is no chromium: scripts/setup.sh test installs it"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=_FLAGS)
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Window:
    """One page of a site. `page` is playwright's; everything else here adds a check to it."""

    page: Page
    base: str
    problems: list[str] = field(default_factory=list)
    allowed: list[str] = field(default_factory=list)

    def allow(self, *patterns: str) -> None:
        """Problems that this test means to see, as regular expressions of their text."""
        self.allowed += patterns

    def refused(self, status: int) -> None:
        """This test means to be refused with this status; the browser's console tells of each."""
        self.allow(rf"^console: Failed to load resource: the server responded with a status of {status}\b")

    def goto(self, path: str, status: int = 200) -> None:
        """Open a path of the site, which answers with this status."""
        if status >= 400:
            self.refused(status)
        answer = self.page.goto(self.base + path)
        assert answer is not None
        assert answer.status == status, f"{path} answers {answer.status}"

    def look(self, size: tuple[int, int], colours: Colours = "light") -> None:
        """Another size of window, another choice of colours."""
        self.page.set_viewport_size({"width": size[0], "height": size[1]})
        self.page.emulate_media(color_scheme=colours)

    def check(self, name: str, looks: Sequence[Look] = LOOKS) -> None:
        """Everything that holds for each state of each page, in all four looks; then it is as it was before."""
        before = self.page.viewport_size
        wrong = []
        for size, colours in looks:
            self.look(size, colours)
            look = f"{name}-{size[0]}-{colours}"
            self.shot(look)
            wrong += [f"{look}: {problem}" for problem in (*sideways(self.page), *axe(self.page))]
        if before:
            self.look((before["width"], before["height"]))
        assert not wrong, "\n".join(wrong)

    def shot(self, name: str) -> None:
        """A picture of the whole page, when somebody wants them."""
        folder = os.environ.get(SCREENSHOTS)
        if folder:
            self.page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)

    def text(self, selector: str = "body") -> str:
        """What a person reads there, with single spaces."""
        return " ".join(self.page.locator(selector).first.inner_text().split())

    def focus(self) -> str:
        """What has the keyboard: tag, id and the beginning of its text."""
        script = (
            "e => e ? `${e.tagName.toLowerCase()}#${e.id} ${(e.innerText || e.value || '').trim().slice(0, 60)}` : ''"
        )
        return str(self.page.evaluate(f"({script})(document.activeElement)"))

    def finish(self) -> None:
        """Fails when the page did anything that it must not do."""
        wrong = [text for text in self.problems if not any(re.search(known, text) for known in self.allowed)]
        assert not wrong, "\n".join(wrong)


def axe(page: Page) -> list[str]:
    """What axe-core finds against WCAG 2.2 AA, one line for each element: rule, element, what to do, where to read."""
    options = {"runOnly": {"type": "tag", "values": RULES}, "resultTypes": ["violations"]}
    found: list[dict[str, Any]] = _AXE.run(page, options=options).response["violations"]
    return [
        f"{rule['id']} at {' '.join(map(str, node['target']))}: {' '.join(node['failureSummary'].split())} "
        f"({rule['help']}, {rule['helpUrl']})\n    {node['html'][:200]}"
        for rule in found
        for node in rule["nodes"]
    ]


def sideways(page: Page) -> list[str]:
    """What makes the page wider than its window, the outermost first; nothing when there is no need to scroll."""
    script = """() => {
        const width = innerWidth;
        if (document.documentElement.scrollWidth <= width) return [];
        const wide = [...document.body.querySelectorAll("*")].filter(e => {
            const box = e.getBoundingClientRect();
            return box.right > width + 1 && box.width > 0;
        });
        const name = e => [e.tagName.toLowerCase() + (e.id ? "#" + e.id : ""), ...e.classList].join(".");
        return [`${document.documentElement.scrollWidth} px wide in a window of ${width}: `
            + wide.slice(0, 6).map(e => `${name(e)} to ${Math.round(e.getBoundingClientRect().right)}`).join(", ")];
    }"""
    return list(page.evaluate(script))


def watch(page: Page, base: str) -> Window:
    """Note whatever goes wrong in a page from now on. What would leave this machine is stopped."""
    window = Window(page, base)
    note = window.problems.append

    def console(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            note(f"console: {message.text} ({message.location.get('url', '')})")

    def failed(request: Request) -> None:
        # What a page was still asking for when it was left is given up by the browser: that is no fault.
        if request.failure != "net::ERR_ABORTED":
            note(f"request: {request.method} {request.url} {request.failure}")

    def elsewhere(route: Route) -> None:
        note(f"left the machine: {route.request.method} {route.request.url}")
        route.abort()

    page.context.route(_ELSEWHERE, elsewhere)
    page.on("console", console)
    page.on("pageerror", lambda error: note(f"script: {error}"))
    page.on("requestfailed", failed)
    page.on("dialog", lambda dialog: (note(f"dialog: {dialog.message}"), dialog.dismiss()))
    return window


class OpenWindow(Protocol):
    """Opens a page that is watched."""

    def __call__(
        self, base: str, size: tuple[int, int] = WIDE, colours: Colours = "light", script: bool = True
    ) -> Window:
        """A page for the site at `base`. Without script, look with locators: axe and `check` are scripts, too."""
        ...


@contextmanager
def windows(browser: Browser) -> Iterator[OpenWindow]:
    """As many pages as a test needs; fails at its end when anything went wrong in one of them."""
    opened: list[Window] = []

    def open_window(base: str, size: tuple[int, int] = WIDE, colours: Colours = "light", script: bool = True) -> Window:
        context = browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme=colours,
            java_script_enabled=script,
            reduced_motion="reduce",
            locale="en-GB",
            timezone_id="Pacific/Auckland",
        )
        context.set_default_timeout(10_000)
        window = watch(context.new_page(), base.rstrip("/"))
        opened.append(window)
        return window

    try:
        yield open_window
    finally:
        for window in opened:
            window.page.context.close()
    for window in opened:
        window.finish()


def shown(window: Window, selector: str, text: str, within_s: float = 10) -> None:
    """Wait until an element shows a text; it need not be there yet."""
    try:
        window.page.locator(selector).filter(has_text=text).first.wait_for(timeout=within_s * 1000)
    except Exception as error:
        missing = f"{text!r} is not at {selector} within {within_s} s ({type(error).__name__})"
        pytest.fail(f"{missing}; the page shows: {window.text()[:800]}")
