"""`estate.toml` and what it points to, read as one: schools, rooms, classes, asset registers and policies.

Everything is checked before anything is refused, so that a person mends all mistakes in one go.
"""

from collections.abc import Iterable
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple
from zoneinfo import available_timezones

from caretaker_collector.files.faults import Fault, choose, found_at, show_value
from caretaker_collector.files.indicators import read_indicators
from caretaker_collector.files.register import Register, read_register
from caretaker_collector.files.service_file import ServiceText, check_schools, read_service
from caretaker_collector.files.toml_file import TomlFile
from caretaker_collector.files.toml_lines import KeyPath
from caretaker_collector.files.written_hours import check_period, check_spans
from caretaker_contract.errors import ConfigError
from caretaker_contract.topics import Address
from caretaker_rules.model import Device, Estate, EstateFile, Room, School


class Joined(NamedTuple):
    """The estate as far as it could be joined; it is whole only when `file.faults` stays empty."""

    estate: Estate
    registers: list[Register]
    policies: dict[str, Path]  # by school, only those that have one
    service: ServiceText | None = None  # None: none is named, or it cannot be read


def join(file: TomlFile, written: EstateFile) -> Joined:
    """Follow every reference of `written` and note what is wrong in `file.faults`. Reads the asset registers."""
    _check_dates(file, written)
    service = _join_service(file, written)
    networks = {network.name: network for network in written.networks}
    classes = {device_class.name: device_class for device_class in written.classes}
    devices: dict[Address, Device] = {}
    registers: list[Register] = []
    policies: dict[str, Path] = {}
    macs: dict[str, tuple[Path, int, Address]] = {}
    for number, school in enumerate(written.schools):
        key: KeyPath = ("schools", number)
        _check_school(file, key, school, list(networks))
        if school.policy:
            path = file.path.parent / school.policy
            if path.is_file():
                policies[school.name] = path
            else:
                file.fault((*key, "policy"), f"no such file{found_at(path, school.policy)}", school.policy)
        if school.devices:
            path = file.path.parent / school.devices
            try:
                register = read_register(path, school.name)
            except ConfigError as error:
                reason = error.faults[0].partition("   ")[2]
                file.fault((*key, "devices"), f"{reason}{found_at(path, school.devices)}", school.devices)
                continue
            registers.append(register)
            file.faults.extend(register.faults)
            file.faults.extend(_join_register(register, school, list(classes), devices, macs))
    estate = Estate(
        provider=written.provider,
        networks=networks,
        schools={school.name: school for school in written.schools},
        classes=classes,
        devices=devices,
        tariffs=tuple(written.tariffs),
        carbon=tuple(written.carbon),
        support=tuple(written.support),
        service=service.service if service is not None else None,
    )
    return Joined(estate, registers, policies, service)


def files_named(file: TomlFile, key: str) -> list[Path]:
    """The existing files that schools name under `key`, from an estate that may be too faulty to be joined."""
    schools = file.data.get("schools")
    given = [school.get(key) for school in schools if isinstance(school, dict)] if isinstance(schools, list) else []
    paths = [file.path.parent / name for name in dict.fromkeys(given) if isinstance(name, str) and name]
    return [path for path in paths if path.is_file()]


def _join_service(file: TomlFile, written: EstateFile) -> ServiceText | None:
    """The service file, and whether its names and the schools' fit together. Without one no level is looked at."""
    for number, school in enumerate(written.schools):
        days = [change.starts for change in school.levels]
        for later in range(1, len(days)):
            if days[later] <= days[later - 1]:
                wrong = f"not after the one before ({days[later - 1]}): write them in order"
                file.fault(("schools", number, "levels", later, "starts"), wrong, days[later])
    if not written.service:
        return None
    path = file.path.parent / written.service
    if not path.is_file():
        file.fault(("service",), f"no such file{found_at(path, written.service)}", written.service)
        return None
    try:
        service = read_service(path)
    except ConfigError as error:
        # It is no TOML: its fault comes as it is, with the file and line where it stands.
        start, _, wrong = error.faults[0].partition("   ")
        place, _, subject = start.partition("  ")
        line = place.removeprefix(f"{path}:")
        file.faults.append(Fault(path, int(line) if line.isdigit() else 0, subject.strip(), wrong.strip()))
        return None
    check_schools(service, (school.name for school in written.schools))
    file.faults.extend(service.file.faults)
    for number, school in enumerate(written.schools):
        _check_levels(file, ("schools", number), school, service.names)
    return service


def _check_levels(file: TomlFile, key: KeyPath, school: School, known: list[str]) -> None:
    given = file.data["schools"][key[1]]
    if school.service_level not in known and "service_level" not in given:
        wrong = f"missing, and its default {show_value(school.service_level)} is no level of the service file"
        file.fault((*key, "service_level"), f"{wrong}; add service_level = {show_value(known[0])}" if known else wrong)
    elif school.service_level not in known:
        wrong = choose(school.service_level, known, "service level")
        file.fault((*key, "service_level"), wrong, school.service_level)
    before = school.service_level
    for number, change in enumerate(school.levels):
        place = (*key, "levels", number, "level")
        if change.level not in known:
            file.fault(place, choose(change.level, known, "service level"), change.level)
        elif change.level == before:
            file.fault(place, f"{school.name} has this level already; leave this change out", change.level)
        before = change.level


def _join_register(
    register: Register,
    school: School,
    classes: list[str],
    devices: dict[Address, Device],
    macs: dict[str, tuple[Path, int, Address]],
) -> Iterable[Fault]:
    """Add a school's devices to the estate's; yields what does not fit together."""
    rooms = [room.name for room in school.rooms]
    known_rooms, known_classes = set(rooms), set(classes)
    lines: dict[str, int] = {}
    for line, device in register.rows:
        if device.name in lines:
            wrong = f"stands in line {lines[device.name]} already"
            yield Fault(register.path, line, f'device "{device.name}"', wrong)
            continue
        lines[device.name] = line
        if device.room not in known_rooms:
            what = f"room in {school.name}"
            yield Fault(register.path, line, f'room "{device.room}"', choose(device.room, rooms, what))
        if device.device_class not in known_classes:
            wrong = choose(device.device_class, classes, "class in the estate")
            yield Fault(register.path, line, f'class "{device.device_class}"', wrong)
        if device.mac is not None:
            if device.mac in macs:
                path, first, address = macs[device.mac]
                where = f"line {first}" if path == register.path else f"{path}:{first}"
                yield Fault(register.path, line, f'mac "{device.mac}"', f"{address} in {where} has it already")
            else:
                macs[device.mac] = (register.path, line, device.address)
        devices[device.address] = device
    yield from _behind_faults(register)


def _behind_faults(register: Register) -> Iterable[Fault]:
    """What a device is behind has to be another device of the school, and going on from it must come to an end."""
    behind = {row.device.name: row.device.behind for row in register.rows}
    told: set[str] = set()
    for line, device in register.rows:
        wrong = ""
        if device.behind is None:
            continue
        if device.behind == device.name:
            wrong = "itself; name its switch or its server, or leave it empty"
        elif device.behind not in behind:
            if register.faults:
                continue  # it may stand in a line that could not be read
            wrong = choose(device.behind, list(behind), f"device in {register.path.name}")
        elif device.name not in told and (loop := _loop(device.name, behind)):
            told.update(loop)
            wrong = f"goes round in a loop: {' behind '.join([*loop, device.name])}"
        if wrong:
            yield Fault(register.path, line, f'behind "{device.behind}"', wrong)


def _loop(name: str, behind: dict[str, str | None]) -> list[str]:
    """The devices from `name` on until it comes again; [] when it does not."""
    passed = [name]
    while (following := behind.get(passed[-1])) is not None and following not in passed:
        passed.append(following)
    return passed if following == name and len(passed) > 1 else []


def _check_school(file: TomlFile, key: KeyPath, school: School, networks: list[str]) -> None:
    if school.network is not None and school.network not in networks:
        file.fault((*key, "network"), choose(school.network, networks, "network"), school.network)
    zones = available_timezones()
    if school.time_zone not in zones:
        file.fault((*key, "time_zone"), choose(school.time_zone, sorted(zones), "time zone"), school.time_zone)
    check_spans(file, (*key, "service_hours"), school.service_hours)
    _check_review(file, key, school)
    for name, hours in school.periods.items():
        check_period(file, (*key, "periods", name), hours)
    for number, room in enumerate(school.rooms):
        check_spans(file, (*key, "rooms", number, "lessons"), room.lessons or [])
        _check_shared(file, (*key, "rooms", number, "shared"), room)
    before: date | None = None
    for number, term in enumerate(school.terms):
        place = (*key, "terms", number)
        if term.ends < term.starts:
            file.fault((*place, "ends"), f"before it starts ({term.starts})", term.ends)
        if before is not None and term.starts <= before:
            wrong = (
                f"the term before ends {before}: write them in order, from {before + timedelta(days=1)} at the earliest"
            )
            file.fault((*place, "starts"), wrong, term.starts)
        before = max(term.ends, before or term.ends)


def _check_shared(file: TomlFile, key: KeyPath, room: Room) -> None:
    """A share has to say which lessons or bookings it means, and a category needs a calendar to stand in."""
    for number, share in enumerate(room.shared):
        check_spans(file, (*key, number, "hours"), share.hours)
        if not share.hours and not share.categories:
            file.fault((*key, number), 'says nothing: add hours = ["tue 15:30-17:00"] or categories = ["..."]')


def _check_review(file: TomlFile, key: KeyPath, school: School) -> None:
    """Files of a review have to be there and be read whole; a school has one source of indicators."""
    review = school.review
    for name, written in (("kpi", review.kpi), ("access_log", review.access_log)):
        if written and not (path := file.path.parent / written).is_file():
            file.fault((*key, "review", name), f"no such file{found_at(path, written)}", written)
        elif written and name == "kpi":
            file.faults.extend(read_indicators(file.path.parent / written).faults)
    if review.kpi and review.access_log:
        wrong = "beside kpi: keep one of them, or the same days would count twice"
        file.fault((*key, "review", "access_log"), wrong, review.access_log)


def _check_dates(file: TomlFile, written: EstateFile) -> None:
    """A tariff or factor holds until the next, so they stand in order."""
    for name, rows in (("tariffs", written.tariffs), ("carbon", written.carbon)):
        days = [row.valid_from for row in rows]
        for number in range(1, len(days)):
            if days[number] <= days[number - 1]:
                wrong = f"not after the one before ({show_value(days[number - 1])}): write them in order"
                file.fault((name, number, "valid_from"), wrong, days[number])
