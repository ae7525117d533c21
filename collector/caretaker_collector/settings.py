"""All settings that people write: finding them, loading them, checking them.

    collector.toml   kinds.CollectorSettings
    estate.toml      caretaker_rules.model.EstateFile, with the CSV registers and policies that it names
    service.toml     caretaker_rules.service.ServiceFile
    policy           caretaker_rules.policy.PolicyFile
    alerts.toml      caretaker_rules.alert_settings.AlertsFile
    agent.toml       caretaker_agent.settings.Settings

Paths within a file are relative to that file. Whatever is wrong comes at once, as one ConfigError.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec
from msgspec import Struct

from caretaker_agent import settings as agent
from caretaker_collector import calendars
from caretaker_collector.files.alerts_file import check_names as check_alert_names
from caretaker_collector.files.alerts_file import read_alerts
from caretaker_collector.files.desk_table import check_desk, check_desk_schools
from caretaker_collector.files.estate import Joined, files_named, join
from caretaker_collector.files.faults import Fault, found_at, layout, stop_at
from caretaker_collector.files.kinds import KINDS, BrokerSettings, CollectorSettings
from caretaker_collector.files.policy_file import check_names, read_policy
from caretaker_collector.files.register import Register, read_register
from caretaker_collector.files.service_file import ServiceText, load_service, read_service
from caretaker_collector.files.toml_file import TomlFile, convert, open_toml
from caretaker_contract.errors import ConfigError
from caretaker_contract.metrics import OF_DEVICES, OF_ROOMS, OF_SCHOOLS
from caretaker_rules.alert_settings import AlertsFile
from caretaker_rules.durations import parse_duration
from caretaker_rules.model import Estate, EstateFile
from caretaker_rules.policy import Policy

__all__ = [
    "KINDS",
    "BrokerSettings",
    "Checked",
    "CollectorSettings",
    "check_files",
    "find_config",
    "kind_of",
    "load",
    "load_alerts",
    "load_collector",
    "load_estate",
    "load_estate_and_policies",
    "load_policy",
    "load_service",
]

CONFIG_VARIABLE = "CARETAKER_CONFIG"
CONFIG_PLACES = ("collector.toml", "demo-out/collector.toml")

STAY_FOR_S = (600, 4 * 3600)
"""A link may keep a room on for so long: shorter asks again and again, longer is what `caretaker hold` is for."""

T = TypeVar("T", bound=Struct)


def load(path: Path, kind: type[T]) -> T:
    """Any settings file as the Struct that declares it. ConfigError with every fault: line, key and remedy."""
    file = open_toml(path)
    settings = convert(file, kind, KINDS)
    stop_at(file.faults)
    assert settings is not None
    return settings


def load_collector(path: Path) -> CollectorSettings:
    """`collector.toml` with its paths taken from its own folder, and the files that it names seen to be there.

    `store.path` is left as it is: it belongs into the data folder.
    """
    file = open_toml(path)
    settings = _collector(file)
    stop_at(file.faults)
    assert settings is not None
    return settings


def load_estate(path: Path) -> Estate:
    """The whole estate: TOML, asset registers, and policies seen to be good. ConfigError with every fault."""
    return _load_estate(path).estate


def load_estate_and_policies(path: Path) -> tuple[Estate, dict[str, Policy]]:
    """The estate, and the policy of each school by the school's name; schools without one are left out."""
    joined = _load_estate(path)
    return joined.estate, {school: load_policy(policy) for school, policy in joined.policies.items()}


def load_policy(path: Path) -> Policy:
    """A policy file, checked and compiled. ConfigError with every fault."""
    found = read_policy(path)
    stop_at(found.file.faults)
    assert found.policy is not None
    return found.policy


def load_alerts(path: Path, estate: Estate | None = None) -> AlertsFile:
    """Alert settings with whole paths, checked against the estate if it is given. ConfigError with every fault."""
    found = read_alerts(path)
    if estate is not None:
        check_alert_names(found, estate)
    stop_at(found.file.faults)
    assert found.alerts is not None
    return found.alerts


def find_config(given: str | None, environ: Mapping[str, str], cwd: Path) -> Path:
    """Where collector.toml is: --config, CARETAKER_CONFIG, ./collector.toml, ./demo-out/collector.toml.

    A file that was named has to be there; ConfigError then names it, else all the places that were looked at.
    """
    for source, named in (("--config", given), (CONFIG_VARIABLE, environ.get(CONFIG_VARIABLE))):
        if named:
            path = cwd / named
            if not path.is_file():
                raise ConfigError([f"{named}   no such file (named by {source})"])
            return path
    places = [cwd / place for place in CONFIG_PLACES]
    for path in places:
        if path.is_file():
            return path
    looked = ", ".join(f"./{place}" for place in CONFIG_PLACES)
    raise ConfigError(
        [
            f"no settings found: no --config, {CONFIG_VARIABLE} is not set, and neither {looked} is here; "
            "`make demo` makes one, or see deploy/README.md"
        ]
    )


class Checked(NamedTuple):
    """What `caretaker check` has to say: faults, and notes that are no faults."""

    faults: list[str]
    notes: list[str]


def check_files(paths: Iterable[Path], now_ms: int = 0) -> Checked:
    """Check files of any kind, and the files that they name. Nothing is raised and nothing is changed.

    What recurs in calendars is worked out for the weeks after `now_ms`.
    """
    check = _Check(now_ms)
    for path in paths:
        check.file(path)
    return Checked(layout(check.faults), list(dict.fromkeys(check.notes)))


def kind_of(path: Path, data: Mapping[str, Any]) -> str | None:
    """Which of KINDS a file is: the kind that knows most of its keys; on a tie, the one that its name says."""
    keys = {name: {info.encode_name for info in msgspec.structs.fields(kind)} for name, kind in KINDS.items()}
    hits = {name: len(known & data.keys()) for name, known in keys.items()}
    best = [name for name, count in hits.items() if count == max(hits.values())]
    if len(best) == 1:
        return best[0]
    words = f"{path.parent.name} {path.stem}".replace("policies", "policy")
    named = [name for name in best if name in words]
    return named[0] if named else None


class _Check:
    """Gathers faults and notes over several files."""

    def __init__(self, now_ms: int = 0) -> None:
        self._now_ms = now_ms
        self.faults: list[Fault] = []
        self.notes: list[str] = []
        self._estates: list[Estate] = []  # those that were whole

    def file(self, path: Path) -> None:
        try:
            if path.suffix.lower() == ".csv":
                register = read_register(path, "school")
                self.faults.extend(register.faults)
                self._register_note(register)
                return
            file = open_toml(path)
        except ConfigError as error:
            self._keep(path, error)
            return
        if "cases" in file.data:
            self.notes.append(f"{path}: cases for a policy; `caretaker policy test {path}` reads and runs them")
            return
        kind = kind_of(path, file.data)
        if kind is None:
            wrong = f"cannot tell what kind of file this is; name it after one of: {', '.join(KINDS)}"
            self.faults.append(Fault(path, 0, "", wrong))
        elif kind == "estate":
            self._estate(file)
        elif kind == "collector":
            self._collector(file)
        elif kind == "policy":
            self.policy(path)
        elif kind == "service":
            self._service(read_service(path))
        elif kind == "alerts":
            self.alerts(path)
        else:
            self._agent(file)

    def _estate(self, file: TomlFile) -> None:
        written = convert(file, EstateFile, KINDS)
        if written is not None:
            joined = join(file, written)
            for register in joined.registers:
                self._register_note(register)
            for policy in dict.fromkeys(joined.policies.values()):
                self.policy(policy, joined)
            if joined.service is not None:
                self._service(joined.service)
            if not file.faults:
                self._estates.append(joined.estate)
                faults, notes = calendars.check(joined.estate, file.path.parent, self._now_ms)
                self.faults.extend(faults)
                self.notes.extend(notes)
                self.notes.append(_size_note(file.path, joined.estate))
        else:
            # What cannot be joined can still be read: a person mends all mistakes in one go.
            for named in files_named(file, "devices"):
                self.file(named)
            for named in files_named(file, "policy"):
                self.policy(named)
            service = file.data.get("service")
            if isinstance(service, str) and (file.path.parent / service).is_file():
                self.file(file.path.parent / service)
        self.faults.extend(file.faults)

    def _collector(self, file: TomlFile) -> None:
        settings = _collector(file)
        if settings is not None and not any(fault.subject.startswith("estate") for fault in file.faults):
            self.file(Path(settings.estate))
        if settings is not None and self._estates:
            check_desk_schools(file, settings, self._estates[-1])
        if settings is not None and settings.alerts and Path(settings.alerts).is_file():
            self.alerts(Path(settings.alerts), self._estates[-1] if self._estates else None)
        self.faults.extend(file.faults)

    def _service(self, found: ServiceText) -> None:
        self.faults.extend(found.file.faults)
        if found.service is not None:
            examples = [level.name for level in found.service.levels if level.illustrative]
            said = f"; examples, nobody's contract: {', '.join(examples)}" if examples else ""
            self.notes.append(f"{found.file.path}: {_count(len(found.service.levels), 'service level')}{said}")

    def _agent(self, file: TomlFile) -> None:
        """Types and keys as everywhere; what only the agent knows (keys that go together) it says itself."""
        if convert(file, agent.Settings, KINDS) is None:
            self.faults.extend(file.faults)
            return
        try:
            agent.load(file.path)
        except ConfigError as error:
            for text in error.faults:
                # The agent, which has to stay small, says FILE:LINE: KEY: WHAT.
                found = re.match(r"(?::(\d+))?: (\S+): (.*)", text.removeprefix(str(file.path)))
                line, subject, wrong = found.groups() if found else (None, "", text)
                self.faults.append(Fault(file.path, int(line or 0), subject, wrong))

    def policy(self, path: Path, joined: Joined | None = None) -> None:
        """A policy, and its names when the estate is known."""
        try:
            found = read_policy(path)
        except ConfigError as error:
            self._keep(path, error)
            return
        if joined is not None:
            schools = [school for school, policy in joined.policies.items() if policy == path]
            check_names(found, joined.estate, schools)
        self.faults.extend(found.file.faults)

    def alerts(self, path: Path, estate: Estate | None = None) -> None:
        """Alert settings, and their names when the estate is known."""
        try:
            found = read_alerts(path)
        except ConfigError as error:
            self._keep(path, error)
            return
        if estate is not None:
            check_alert_names(found, estate)
        self.faults.extend(found.file.faults)

    def _register_note(self, register: Register) -> None:
        if register.ignored:
            self.notes.append(f"{register.path}: columns not read: {', '.join(register.ignored)}")

    def _keep(self, path: Path, error: ConfigError) -> None:
        """Take over faults that were laid out already, so that they are aligned with the others."""
        for text in error.faults:
            start, _, wrong = text.partition("   ")
            place, _, subject = start.partition("  ")
            line = place.removeprefix(f"{path}:")
            self.faults.append(Fault(path, int(line) if line.isdigit() else 0, subject.strip(), wrong.strip() or start))


def _size_note(path: Path, estate: Estate) -> str:
    """How much there is to watch, and how many series a time-series database must be ready for."""
    devices, schools = len(estate.devices), len(estate.schools)
    rooms = sum(len(school.rooms) for school in estate.schools.values())
    # Beyond these Caretaker itself has one, and incidents of its own another.
    series = devices * len(OF_DEVICES) + rooms * len(OF_ROOMS) + schools * len(OF_SCHOOLS) + 2
    return (
        f"{path}: {_count(schools, 'school')}, {_count(rooms, 'room')}, {_count(devices, 'device')}; "
        f"InfluxDB series at most {series:,} ({devices:,} x {len(OF_DEVICES)} of devices, {rooms:,} x {len(OF_ROOMS)} "
        f"of rooms, {schools:,} x {len(OF_SCHOOLS)} of schools, 2 of Caretaker), and 2 for each rule of a school"
    )


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")


def _load_estate(path: Path) -> Joined:
    file = open_toml(path)
    written = convert(file, EstateFile, KINDS)
    stop_at(file.faults)
    assert written is not None
    joined = join(file, written)
    check = _Check()
    for policy in dict.fromkeys(joined.policies.values()):
        check.policy(policy, joined)
    stop_at([*file.faults, *check.faults])
    return joined


def _collector(file: TomlFile) -> CollectorSettings | None:
    settings = convert(file, CollectorSettings, KINDS)
    if settings is None:
        return None
    _check_together(file, settings)
    return _resolve(file, settings, ())


def _check_together(file: TomlFile, settings: CollectorSettings) -> None:
    """What only two keys together can get wrong."""
    broker, store = settings.broker, settings.store
    if (broker.certificate_file is None) != (broker.key_file is None):
        given = "key" if broker.certificate_file is None else "certificate"
        file.fault(("broker", given), "certificate and key go together: give both or neither")
    elif broker.certificate_file is not None and broker.ca_file is None:
        file.fault(("broker", "certificate"), "without ca nothing is encrypted: add ca")
    if broker.password_file is not None and broker.username is None:
        file.fault(("broker", "password_file"), "no username beside it: add username")
    if wrong := _wrong_stay(settings.http.stay_for):
        file.fault(("http", "stay_for"), wrong, settings.http.stay_for)
    check_desk(file, settings)
    if store.kind == "influx":
        for key in ("url", "bucket"):
            if not getattr(store, key):
                file.fault(("store", key), f'missing; kind = "influx" needs {key} = "..."')


def _wrong_stay(text: str) -> str:
    """What is wrong with the length of a stay; "" when nothing is."""
    try:
        stay_s = parse_duration(text)
    except ValueError as error:
        return str(error)
    least_s, most_s = STAY_FOR_S
    return "" if least_s <= stay_s <= most_s else "must lie between 10 min and 4 h"


def _resolve(file: TomlFile, settings: T, key: tuple[str, ...]) -> T:
    """Make the paths of a Struct whole, and note files that are not there (the data folder may still be made)."""
    changes: dict[str, Any] = {}
    for info in msgspec.structs.fields(settings):
        value = getattr(settings, info.name)
        place = (*key, info.encode_name)
        if isinstance(value, Struct):
            changes[info.name] = _resolve(file, value, place)
        elif isinstance(value, str) and value and (info.name in _FILES or place == ("data",)):
            path = file.path.parent / value
            changes[info.name] = str(path)
            if info.name in _FILES and not path.is_file():
                file.fault(place, f"no such file{found_at(path, value)}", value)
    return msgspec.structs.replace(settings, **changes)


_FILES = {"estate", "alerts", "ca_file", "certificate_file", "key_file", "password_file", "token_file"}
"""Fields that name a file which has to be there. The data folder, and the store in it, are made when they are not."""
