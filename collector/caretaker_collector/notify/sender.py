"""The sender: one worker for each channel, beside the pipeline: a slow channel holds up neither rules nor others.

After a failure a channel rests for a moment before its next message: a desk that is down is not asked for each of a
thousand messages in turn, and a message that alone is at fault does not stop those behind it.
"""

import asyncio
import sqlite3
from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import structlog

from caretaker_collector import state
from caretaker_collector.notify import outbox
from caretaker_collector.notify.http_call import Later
from caretaker_contract.clock import Clock
from caretaker_contract.errors import Rejected, Unavailable
from caretaker_rules.ports import Notifier

log = structlog.get_logger()

LOOK_S = 0.5
"""Real seconds between two looks into the queue."""
REST_MIN_MS, REST_MAX_MS = 1_000, 60_000
SEND_WITHIN_S = 120.0
"""Real seconds after which an adapter that has not come back is told to stop; its own limits are far below."""
WATCH_EVERY_S = 60.0
DOWN_AFTER = 3
"""So many failures in a row are the channel's fault, not the message's."""


@runtime_checkable
class Watcher(Protocol):
    """An adapter whose other side does things by itself, which it looks for now and then."""

    async def watch(self) -> None:
        """One look. Unavailable when the other side does not answer."""
        ...


class Sender:
    """Sends what waits. `problem` is for /healthz."""

    def __init__(self, db: sqlite3.Connection, channels: Mapping[str, Notifier], clock: Clock) -> None:
        self._db = db
        self._channels = channels
        self._clock = clock
        self._complained: set[str] = set()

    @property
    def problem(self) -> str:
        """What does not reach people, in a sentence; "" when all does."""
        try:
            parts = [outbox.troubles(self._db, self._clock.now_ms())]
            strays = outbox.strays(self._db, self._channels)
        except sqlite3.Error as error:
            return f"the queue cannot be read: {error}"
        names = dict.fromkeys(channel for _, channel, _ in strays)
        parts += [f"messages wait for channel {name}, which is not in the settings" for name in names]
        return "; ".join(part for part in parts if part)

    async def run(self) -> None:
        """Until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for name, notifier in self._channels.items():
                    tasks.create_task(self._work(name, notifier), name=f"notify {name}")
                    if isinstance(notifier, Watcher):
                        tasks.create_task(self._watch(name, notifier), name=f"watch {name}")
                tasks.create_task(self._look_for_strays(), name="notify strays")
        finally:
            for notifier in self._channels.values():
                await notifier.close()

    async def _work(self, name: str, notifier: Notifier) -> None:
        failures = 0
        while True:
            try:
                rows = outbox.due(self._db, name, self._clock.now_ms())
                for row in rows:
                    works = await self._send(name, notifier, row)
                    if works and failures >= DOWN_AFTER:
                        outbox.hurry(self._db, name, self._clock.now_ms())
                    failures = 0 if works else failures + 1
                    if not works:
                        rest_ms = min(REST_MAX_MS, REST_MIN_MS * 2 ** min(failures - 1, 10))
                        await asyncio.sleep(self._clock.real_s(rest_ms / 1000))
                        break  # the list is old by now, and order may have changed
            except sqlite3.Error as error:
                log.warning("the queue of messages cannot be used; retrying", channel=name, reason=str(error))
                rows = []
            if not rows:
                await asyncio.sleep(LOOK_S)

    async def _send(self, name: str, notifier: Notifier, row: outbox.Row) -> bool:
        """One try; whether the channel works."""
        telling, id_ = row.telling, row.telling.id
        if not outbox.claim(self._db, id_, self._clock.now_ms()):
            return True  # somebody else has dealt with it
        at_least_ms = 0
        try:
            async with asyncio.timeout(SEND_WITHIN_S):
                answer = await notifier.send(telling, outbox.incident_of(self._db, telling.uid))
        except Rejected as error:
            await self._done(id_, "failed", str(error))
            log.error("a message was refused", channel=name, id=id_, reason=str(error))
            return True  # it answered: the message is at fault, or what the settings say of it
        except TimeoutError:
            reason = f"no answer within {SEND_WITHIN_S:.0f} s"
        except Unavailable as error:
            reason = str(error)
            if isinstance(error, Later):
                at_least_ms = self._clock.now_ms() + int(error.after_s * 1000)
        except sqlite3.Error:
            raise
        except Exception as error:  # a defect of an adapter must not end the others
            reason = f"defect: {error!r}"
        else:
            await self._done(id_, "sent", answer)
            return True
        self._failed(name, id_, reason, at_least_ms)
        return False

    async def _done(self, id_: str, status: str, answer: str) -> None:
        """What has reached somebody is not sent again because the file had no turn for us just then."""
        now_ms = self._clock.now_ms()
        await state.patiently(lambda: outbox.done(self._db, id_, status, now_ms, answer))

    def _failed(self, name: str, id_: str, reason: str, at_least_ms: int) -> None:
        now_ms = self._clock.now_ms()
        if now_ms - outbox.since(self._db, id_) >= outbox.GIVE_UP_MS:
            outbox.done(self._db, id_, "failed", now_ms, f"given up after a day: {reason}")
            log.error("a message was given up after a day", channel=name, id=id_, reason=reason)
            return
        outbox.later(self._db, id_, reason, at_least_ms)
        log.warning("a message could not be sent; it is tried again", channel=name, id=id_, reason=reason)

    async def _watch(self, name: str, watcher: Watcher) -> None:
        said = ""
        while True:
            await asyncio.sleep(max(LOOK_S, self._clock.real_s(WATCH_EVERY_S)))
            try:
                async with asyncio.timeout(SEND_WITHIN_S * 2):
                    await watcher.watch()
                reason = ""
            except Exception as error:  # whatever it is, messages go on
                reason = str(error) or type(error).__name__
            if reason and reason != said:
                log.warning("the other side of a channel cannot be looked at; retrying", channel=name, reason=reason)
            said = reason

    async def _look_for_strays(self) -> None:
        """Messages for a channel that the settings do not have: they wait for a day, in case that is a mistake."""
        while True:
            await asyncio.sleep(max(LOOK_S, self._clock.real_s(60)))
            try:
                now_ms = self._clock.now_ms()
                for id_, channel, made_ms in outbox.strays(self._db, self._channels):
                    if channel not in self._complained:
                        self._complained.add(channel)
                        log.error("messages wait for a channel that is not in the settings", channel=channel)
                    if now_ms - made_ms >= outbox.GIVE_UP_MS:
                        outbox.done(self._db, id_, "failed", now_ms, f"no channel {channel} in the settings for a day")
            except sqlite3.Error as error:
                log.warning("the queue of messages cannot be used; retrying", reason=str(error))
