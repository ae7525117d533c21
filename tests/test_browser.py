"""The watch over pages itself: each thing that a page must not do is seen when a page does it."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from browser import OpenWindow, shown, windows
from web_server import web_server

pytestmark = pytest.mark.slow

STRICT = {"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'"}
BODIES = {
    "well": "<main><h1>Well</h1><p>All is well.</p></main>",
    "script-error": '<main><h1>Well</h1></main><script src="/throws.js"></script>',
    "inline-script": "<main><h1>Well</h1></main><script>document.title = 'taken'</script>",
    "elsewhere": '<main><h1>Well</h1></main><script src="/leaves.js"></script>',
    "gone": '<main><h1>Well</h1></main><script src="/gone.js"></script>',
    "dialog": '<main><h1>Well</h1></main><script src="/asks.js"></script>',
    "wide": '<main><h1>Well</h1><div style="width:700px">a table</div></main>',
    "grey": '<main><h1 style="color:#ccc;background:#fff">Well</h1></main>',
    "dark-grey": "<style>@media (prefers-color-scheme: dark) { h1 { color: #222; background: #000 } }</style>"
    "<main><h1>Well</h1></main>",
    "no-label": "<main><h1>Well</h1><input></main>",
}
SCRIPTS = {
    "throws": "throw new Error('broken')",
    "leaves": "location.href = 'http://example.org/x'",
    "asks": "alert('hello')",
}


async def _answer(request: Request) -> Response:
    name = request.path_params["name"]
    if name.removesuffix(".js") in SCRIPTS:
        return PlainTextResponse(SCRIPTS[name.removesuffix(".js")], media_type="text/javascript")
    if name not in BODIES:
        return PlainTextResponse("gone", 404)
    html = '<!doctype html><html lang="en"><head><meta name="viewport" content="width=device-width"><title>x</title>'
    return HTMLResponse(f"{html}</head><body>{BODIES[name]}</body></html>", headers=STRICT)


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    with web_server(Starlette(routes=[Route("/{name}", _answer)])) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.mark.parametrize(
    ("page", "problem"),
    [
        ("script-error", "script: broken"),
        ("inline-script", "console: .*Content Security Policy"),
        ("elsewhere", "left the machine: GET http://example.org/x"),
        ("gone", "console: Failed to load resource.*404"),
        ("dialog", "dialog: hello"),
    ],
)
def test_a_page_that_misbehaves_fails_its_test(browser: Browser, site: str, page: str, problem: str) -> None:
    with pytest.raises(AssertionError, match=problem), windows(browser) as open_window:
        window = open_window(site)
        window.goto(f"/{page}")
        window.page.wait_for_timeout(200)


@pytest.mark.parametrize(
    ("page", "problem"),
    [
        ("wide", r"wide-320-light: 7\d\d px wide in a window of 320"),
        ("grey", r"grey-1280-light: color-contrast at h1"),
        ("dark-grey", r"^dark-grey-1280-dark: color-contrast at h1"),
        ("no-label", "label at input"),
    ],
)
def test_a_state_that_breaks_a_rule_is_found_in_its_look(
    open_window: OpenWindow, site: str, page: str, problem: str
) -> None:
    window = open_window(site)
    window.goto(f"/{page}")
    with pytest.raises(AssertionError, match=problem):
        window.check(page)


def test_a_page_that_is_well_passes_and_stays_as_large_as_it_was(open_window: OpenWindow, site: str) -> None:
    window = open_window(site)
    window.goto("/well")
    window.check("well")
    assert window.page.evaluate("innerWidth") == 1280
    shown(window, "p", "All is well")
    window.goto("/nothing", 404)
    plain = open_window(site, script=False)
    plain.goto("/script-error")
    assert plain.text("h1") == "Well"
