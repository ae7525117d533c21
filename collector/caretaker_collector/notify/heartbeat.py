"""That Caretaker is alive, told to others: a URL of another tool, and systemd's watchdog.

The URL is one as Healthchecks gives: GET says all is well; POST to URL/fail says what is not. Silence says that we are
gone: the other tool raises the alarm then, which we could not.
"""

import asyncio
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit, urlunsplit

import structlog

from caretaker_collector.notify import systemd
from caretaker_collector.notify.http_call import Http
from caretaker_collector.notify.secret_files import first_line
from caretaker_contract.errors import ConfigError, Rejected, Unavailable
from caretaker_rules.alert_settings import AlertsFile
from caretaker_rules.durations import parse_duration

log = structlog.get_logger()


class Heartbeat:
    """Beats every `every_s` real seconds."""

    def __init__(self, url: str, every_s: float, problems: Callable[[], Mapping[str, str]]) -> None:
        self._url = url
        self._every_s = every_s
        self._problems = problems
        self._http = Http()
        self._failed = False

    async def run(self) -> None:
        """Until cancelled. Whether anybody hears it is not our problem: that is what the other side watches."""
        try:
            while True:
                await self.beat()
                await asyncio.sleep(self._every_s)
        finally:
            await self._http.close()

    async def beat(self) -> bool:
        """One beat; False when it did not arrive."""
        problems = self._problems()
        try:
            if problems:
                text = "\n".join(f"{part}: {problem}" for part, problem in problems.items())
                await self._http.call(
                    "POST", fail_url(self._url), text.encode()[:10_000], {"Content-Type": "text/plain"}
                )
            else:
                await self._http.call("GET", self._url)
        except (Unavailable, Rejected) as error:
            if not self._failed:
                log.warning("the heartbeat does not arrive", reason=str(error))
            self._failed = True
            return False
        if self._failed:
            log.info("the heartbeat arrives again")
        self._failed = False
        return True


def heartbeat_of(alerts: AlertsFile | None, problems: Callable[[], Mapping[str, str]]) -> Heartbeat | None:
    """The heartbeat that the settings ask for. ConfigError when its address cannot be had."""
    if alerts is None or alerts.heartbeat is None:
        return None
    written = alerts.heartbeat
    url = first_line("heartbeat", "url_file", written.url_file) if written.url_file else written.url
    if not url.startswith(("https://", "http://")):
        raise ConfigError(["heartbeat  its url has to begin with https:// or http://"])
    return Heartbeat(url, parse_duration(written.every), problems)


def fail_url(url: str) -> str:
    """The address with /fail at the end of its path."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=parts.path.rstrip("/") + "/fail"))


async def pet(alive: Callable[[], bool], tell: Callable[[str], bool] = systemd.tell) -> None:
    """Until cancelled: READY=1 once, then WATCHDOG=1 while `alive` says so. Ends at once where systemd does not ask."""
    if not tell("READY=1"):
        return
    every_s = systemd.watchdog_s()
    was = True
    while every_s is not None:
        now = alive()
        if now:
            tell("WATCHDOG=1")
        elif was:
            log.error("the rules loop stands still: systemd is left to start us again")
        was = now
        await asyncio.sleep(every_s)
