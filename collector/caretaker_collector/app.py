"""The composition root: opens what the settings name, puts the rooms together, runs them, closes them in order."""

import asyncio
import fcntl
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import structlog
from nacl.signing import SigningKey

from caretaker_collector import memory as memory_
from caretaker_collector import state
from caretaker_collector.accounts import book as account_book
from caretaker_collector.bus_mqtt import Broker, MqttBus
from caretaker_collector.calendars import Calendars
from caretaker_collector.core import Core
from caretaker_collector.days.energy import EnergyDays
from caretaker_collector.days.rollup import DayRollup
from caretaker_collector.desk.changes import Changes
from caretaker_collector.desk.data import DeskData
from caretaker_collector.http import listen, serve
from caretaker_collector.journal import Journal
from caretaker_collector.ledger import Ledger
from caretaker_collector.notify.channels import Surroundings, open_channels
from caretaker_collector.notify.heartbeat import heartbeat_of, pet
from caretaker_collector.notify.sender import Sender
from caretaker_collector.own_figures import OwnBook
from caretaker_collector.pipeline import Stage
from caretaker_collector.planned import Feeds
from caretaker_collector.receiver import Receiver
from caretaker_collector.review import send
from caretaker_collector.review.schedule import Reviews
from caretaker_collector.settings import BrokerSettings, CollectorSettings, load_alerts
from caretaker_collector.stages.act import Act, Outlet
from caretaker_collector.stages.alerts import Alerts
from caretaker_collector.stages.decide import Decide
from caretaker_collector.stages.decode import Decode
from caretaker_collector.stages.deduplicate import Deduplicate
from caretaker_collector.stages.keep import Keep
from caretaker_collector.stages.now import Now
from caretaker_collector.stages.orders import Orders
from caretaker_collector.stages.ready import Ready
from caretaker_collector.stages.recall import Recall
from caretaker_collector.stages.record import Recorder
from caretaker_collector.stages.stay import Stay
from caretaker_collector.stages.track import Track
from caretaker_collector.stages.wake import Wake
from caretaker_collector.stages.watch import Watch
from caretaker_collector.stores import open_store
from caretaker_contract.clock import Clock
from caretaker_contract.errors import ConfigError, Unavailable
from caretaker_rules.model import Estate
from caretaker_rules.policy import Policy

log = structlog.get_logger()

JOURNAL_FILE, STATE_FILE, LOCK_FILE = "journal.db", "state.db", "lock"
PRUNE_EVERY_S = 600.0
WATCH_S = 0.1
DAY_MS = 86_400_000
SILENT_S = 60.0
"""Real seconds without a tick after which systemd is not told any more that we are alive."""


class Collector:
    """One running collector. `run` until cancelled; the attributes are what health, metrics and the demo look at."""

    def __init__(
        self, settings: CollectorSettings, estate: Estate, policies: Mapping[str, Policy], clock: Clock
    ) -> None:
        folder = Path(settings.data)
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = _lock(folder / LOCK_FILE)
        self.settings = settings
        self.clock = clock
        self._started_ms = clock.now_ms()
        self._watch_problem = ""
        self.estate = estate
        self.journal_path, self.state_path = folder / JOURNAL_FILE, folder / STATE_FILE
        self.journal = Journal(self.journal_path)
        self.db = state.open_state(self.state_path)
        state.save_clock(self.db, clock)
        self.memory = memory_.load(self.db)
        key = read_key(Path(settings.signing.key_file)) if settings.signing else None
        self.ledger = Ledger(self.db, self.memory, may_command=key is not None)
        self.store = open_store(settings.store, folder)
        outlet = Outlet()
        folder_of_estate = Path(settings.estate).parent
        self.policies = policies
        self.calendars = calendars = Calendars(estate, folder_of_estate)
        self.decide = decide = Decide(self.memory, self.ledger, estate, policies, calendars)
        alerts = load_alerts(Path(settings.alerts), estate) if settings.alerts else None
        self.alerts = Alerts(self.db, self.memory, estate, policies, alerts)
        self.now = Now(self.alerts, policies, self.alerts.ready_ratio)
        self.feeds = Feeds(self.db, estate, policies, calendars, folder)
        # The order of work, as in pipeline.py.
        stages: list[Stage] = [
            Decode(),
            Deduplicate(self.memory),
            Stay(self.db, self.memory, self.ledger, estate),
            Track(self.memory, settings.presence),
            Watch(self.memory, settings.tick_s, clock.speed),
            calendars,
            decide,
            Orders(self.db, self.memory, decide, estate, policies),
            Recall(self.ledger, estate),
            Wake(self.db, decide, estate, policies),
            Ready(self.db, self.memory, decide, estate, policies),
            self.alerts,
            self.now,
            Keep(self.db, self.memory, self.ledger, estate),
            self.feeds,
        ]
        self.act = Act(self.memory, self.ledger, key, outlet, clock) if key else None
        stages += [self.act] if self.act else []
        self.changes = Changes(self.db, estate, self.now)
        stages.append(self.changes)
        self.core = Core(self.journal, self.db, self.memory, self.ledger, stages, clock, settings.tick_s)
        self.recorder = Recorder(self.journal, self.db, self.store, estate, self.memory)
        self.day_rollup = DayRollup(self.db, self.store, estate, self.recorder, clock, folder_of_estate)
        self.energy_days = EnergyDays(self.db, self.store, estate, clock)
        around = Surroundings(self.db, clock.now_ms)
        channels = open_channels(alerts.channels, around) if alerts else {}
        review_mail = send.adapter(alerts, around, folder)
        channels |= review_mail
        self.reviews = Reviews(settings, estate, self.db, calendars.timetable, clock, mails=bool(review_mail))
        self.sender = Sender(self.db, channels, clock)
        self.heartbeat = heartbeat_of(alerts, self.problems)
        self.figures = OwnBook(self)
        self.desk = DeskData(self, self.changes)
        bus = MqttBus(broker_of(settings.broker), clock.now_ms)
        self.receiver = Receiver(bus, self.journal, self.memory, outlet, clock, settings.journal.commit_ms / 1000)

    async def run(self) -> None:
        """Until cancelled; whatever is broken for a while is retried inside. Raises only on a defect of ours."""
        http = self.settings.http
        self.db.execute(f"PRAGMA busy_timeout = {state.LOOP_BUSY_MS}")
        try:
            listening = listen(http.host, http.port)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.receiver.run(), name="receiver")
                tasks.create_task(self.core.run(), name="core")
                tasks.create_task(self.recorder.run(), name="recorder")
                if self.act:
                    tasks.create_task(self.act.work(), name="act")
                tasks.create_task(self.day_rollup.run(), name="days")
                tasks.create_task(self.energy_days.run(), name="energy")
                tasks.create_task(self.reviews.run(), name="reviews")
                tasks.create_task(self._prune(), name="prune")
                tasks.create_task(self._watch(), name="watch")
                tasks.create_task(serve(self, listening), name="http")
                tasks.create_task(self.changes.watch(), name="changes")
                tasks.create_task(self.sender.run(), name="notify")
                if self.heartbeat:
                    tasks.create_task(self.heartbeat.run(), name="heartbeat")
                tasks.create_task(pet(self.alive), name="systemd")
        finally:
            await self.close()

    async def close(self) -> None:
        """Let go of everything. What is in the journal and not yet stored is stored after the next start."""
        await self.desk.close()
        await self.store.close()
        self.journal.close()
        self.db.close()
        self._lock.close()

    @property
    def lag(self) -> int:
        """Journal records that the core or the recorder has not dealt with yet."""
        return self.journal.last - min(self.core.position, self.recorder.position)

    def problems(self) -> dict[str, str]:
        """What does not work right now, by part; empty when all is well."""
        parts = {
            "broker": self.receiver.problem,
            "store": self.recorder.problem,
            "core": self.core.problem,
            "notify": self.sender.problem,
            "reviews": self.reviews.problem,
            "alerts": self.alerts.problem or self._watch_problem,
        }
        silent_s = (self.clock.now_ms() - self.core.ticked_ms) / 1000
        if self.core.ticked_ms and silent_s > 3 * self.settings.tick_s + self.clock.speed * 5:
            parts["rules"] = f"the rules loop has not run for {silent_s:.0f} s"
        return {part: problem for part, problem in parts.items() if problem}

    def alive(self) -> bool:
        """Whether the rules loop turns: what systemd's watchdog is told. Before its first tick it is given time."""
        since_ms = self.core.ticked_ms or self._started_ms
        silent_s = self.clock.real_s((self.clock.now_ms() - since_ms) / 1000)
        return silent_s <= max(SILENT_S, self.clock.real_s(3 * self.settings.tick_s))

    async def _watch(self) -> None:
        """Look after Caretaker itself, also while nothing else of it works (invariant I11)."""
        while True:
            await asyncio.sleep(max(WATCH_S, self.clock.real_s(self.settings.tick_s)))
            try:
                now_ms = self.clock.now_ms()
                used = account_book.glass_broken(self.db, now_ms)
                notices = {"break-glass": used} if used else {}
                self.alerts.watch({**self.problems(), **notices}, now_ms)
                self.figures.keep(self.clock.now_ms())
                self._watch_problem = ""
            except Exception as error:
                if not self._watch_problem:
                    log.error("Caretaker cannot look after itself; retrying", reason=repr(error))
                self._watch_problem = f"Caretaker cannot look after itself: {error}"

    async def _prune(self) -> None:
        """Forget journal records that are old and that every reader has passed."""
        while True:
            await asyncio.sleep(self.clock.real_s(PRUNE_EVERY_S) + 1)
            before_ms = self.clock.now_ms() - self.settings.journal.keep_days * DAY_MS
            try:
                await self.journal.prune(before_ms, min(self.core.position, self.recorder.position))
            except Unavailable as error:
                log.warning("the journal could not be pruned", reason=str(error))


def read_key(path: Path) -> SigningKey:
    """The signing key from its file of 64 hex digits. ConfigError says what is wrong with it."""
    try:
        return SigningKey(bytes.fromhex(path.read_text(encoding="ascii").strip()))
    except OSError as error:
        raise ConfigError(
            [f"{path}  signing key cannot be read: {error.strerror}; `caretaker key new {path}` makes one"]
        ) from error
    except ValueError:
        raise ConfigError(
            [f"{path}  is not a signing key (64 hex digits); `caretaker key new FILE` makes one"]
        ) from None


def broker_of(settings: BrokerSettings) -> Broker:
    """The settings with their secret files read. ConfigError when one cannot be."""
    try:
        password = Path(settings.password_file).read_bytes().splitlines()[0] if settings.password_file else None
        tls = None
        if settings.ca_file:
            tls = ssl.create_default_context(cafile=settings.ca_file)
            if settings.certificate_file:
                tls.load_cert_chain(settings.certificate_file, settings.key_file or None)
    except (OSError, IndexError) as error:
        raise ConfigError([f"[broker]  a password or certificate file cannot be read: {error}"]) from error
    return Broker(
        host=settings.host,
        port=settings.port,
        client_id=settings.client_id,
        username=settings.username or None,
        password=password,
        tls=tls,
    )


def _lock(path: Path) -> IO[str]:
    """Two collectors on one folder would both act on one ledger: the second must not start."""
    file = path.open("w", encoding="ascii")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise ConfigError(
            [f"{path.parent}  another collector is running on this folder; stop it, or give another `data`"]
        ) from None
    return file
