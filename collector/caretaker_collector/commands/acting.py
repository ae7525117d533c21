"""How commands do actions: through the same gate as the desk and the HTTP API, as somebody who may do everything."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from caretaker_collector import people
from caretaker_collector.acts import doing
from caretaker_collector.acts.base import ActBody, Done, Site
from caretaker_collector.acts.registry import ACTIONS
from caretaker_collector.commands.base import CANNOT_TELL, collector_now, fail, records_of, settings_of
from caretaker_collector.settings import load_estate
from caretaker_contract.errors import Unavailable
from caretaker_rules.roles import operator


def do(config: str | None, action: str, body: ActBody, by: str, *, preview: bool = False, wait_s: float = 5.0) -> Done:
    """Do it, or look what it would touch. ConfigError when it cannot be meant; without an answer the command ends."""
    _, settings = settings_of(config)
    estate = Path(settings.estate)
    site = Site(records_of(settings), load_estate(estate), {}, collector_now, estate.parent, wait_s)
    who = operator(people.who(by))
    work = doing.perform(site, who, ACTIONS[action], body, preview=preview)
    try:
        if not _within_a_loop():
            return asyncio.run(work)
        with ThreadPoolExecutor(1) as thread:  # whoever runs the command has a loop in this one
            return thread.submit(asyncio.run, work).result()
    except Unavailable as error:
        fail(error, CANNOT_TELL)


def _within_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
