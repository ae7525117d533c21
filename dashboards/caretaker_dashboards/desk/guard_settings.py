"""What the guard in front of the desk (guard.py) is set to, and the headers that it puts on every answer."""

from typing import Final

from msgspec import Struct

from caretaker_dashboards.desk.peers import LOOPBACK

LOOPBACK_NAMES: Final = frozenset({"localhost", *LOOPBACK})
CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
SANDBOX: Final = "sandbox; default-src 'none'; "
"""How a policy begins that may take the place of ours: nothing runs, nothing is fetched, no origin."""
HEADERS: Final = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",  # what frame-ancestors says, for old browsers
    # Not no-referrer: with it browsers send "Origin: null" with our own forms too.
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
HSTS: Final = "max-age=31536000"


class Rates(Struct, frozen=True):
    """So many requests at once, and so many a second in the long run."""

    reads: tuple[float, float] = (240, 20)  # of a session: somebody with several pages open, each looking now and then
    changes: tuple[float, float] = (60, 2)  # of a session
    strangers: tuple[float, float] = (60, 5)  # of an address without a session


class GuardSettings(Struct, frozen=True, kw_only=True):
    """What the guard has to know of `[desk]` in collector.toml."""

    address: str  # how people reach the desk: scheme, host and port, no path
    hosts: frozenset[str] = frozenset()  # names in the Host header beside those of loopback; lower case, no port
    header: str = ""  # a header in which a trusted proxy names who has signed in; "": none is believed
    proxies: frozenset[str] = frozenset()  # addresses of the direct peers that may say so
    open_schools: frozenset[str] = frozenset()  # whose school page anybody may read
    open_paths: frozenset[str] = frozenset({"/sign-in", "/accessibility"})
    # The same for everybody, and nothing of a school in it.
    free_paths: frozenset[str] = frozenset({"/icon.svg", "/favicon.ico", "/robots.txt", "/manifest.webmanifest"})
    free_folders: tuple[str, ...] = ("/static/",)

    @property
    def https(self) -> bool:
        """Whether people reach the desk by https."""
        return self.address.startswith("https://")

    def open_to_all(self, path: str) -> bool:
        """Whether a page may be had without signing in."""
        parts = path.split("/")
        if ".." in parts:
            return False
        if len(parts) > 2 and parts[1] == "s":
            return parts[2] in self.open_schools
        return path in self.open_paths or self.free(path)

    def free(self, path: str) -> bool:
        """Whether it is a file that is the same for everybody: no session is looked up, and nothing counted."""
        return path in self.free_paths or (path.startswith(self.free_folders) and ".." not in path)
