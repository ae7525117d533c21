"""`estate.toml` and what it points to, read as one: schools, rooms, classes, asset registers and policies.

Everything is checked before anything is refused, so that a person mends all mistakes in one go.
"""

from collections.abc import Iterable
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple
from zoneinfo import available_timezones

from caretaker_collector.faults import Fault, choose, found_at, show_value
from caretaker_collector.register import Register, read_register
from caretaker_collector.toml_file import TomlFile
from caretaker_collector.toml_lines import KeyPath
from caretaker_contract.errors import ConfigError
from caretaker_contract.topics import Address
from caretaker_rules.calendar import parse_span
from caretaker_rules.model import Device, Estate, EstateFile, School


class Joined(NamedTuple):
    """The estate as far as it could be joined; it is whole only when `file.faults` stays empty."""

    estate: Estate
    registers: list[Register]
    policies: dict[str, Path]  # by school, only those that have one


def join(file: TomlFile, written: EstateFile) -> Joined:
    """Follow every reference of `written` and note what is wrong in `file.faults`. Reads the asset registers."""
    _check_dates(file, written)
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
    )
    return Joined(estate, registers, policies)


def files_named(file: TomlFile, key: str) -> list[Path]:
    """The existing files that schools name under `key`, from an estate that may be too faulty to be joined."""
    schools = file.data.get("schools")
    given = [school.get(key) for school in schools if isinstance(school, dict)] if isinstance(schools, list) else []
    paths = [file.path.parent / name for name in dict.fromkeys(given) if isinstance(name, str) and name]
    return [path for path in paths if path.is_file()]


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


def _check_school(file: TomlFile, key: KeyPath, school: School, networks: list[str]) -> None:
    if school.network is not None and school.network not in networks:
        file.fault((*key, "network"), choose(school.network, networks, "network"), school.network)
    zones = available_timezones()
    if school.time_zone not in zones:
        file.fault((*key, "time_zone"), choose(school.time_zone, sorted(zones), "time zone"), school.time_zone)
    _check_spans(file, (*key, "service_hours"), school.service_hours)
    for name, hours in school.periods.items():
        _check_period(file, (*key, "periods", name), hours)
    for number, room in enumerate(school.rooms):
        _check_spans(file, (*key, "rooms", number, "lessons"), room.lessons or [])
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


def _check_spans(file: TomlFile, key: KeyPath, spans: Iterable[str]) -> None:
    """Hours such as "mon-fri 08:00-17:00": the declaration has seen to the form, the calendar knows the figures."""
    for number, span in enumerate(spans):
        try:
            parse_span(span)
        except ValueError as error:
            file.fault((*key, number), str(error), span)


def _check_period(file: TomlFile, key: KeyPath, hours: str) -> None:
    """A lesson's hours, within one day."""
    start, _, end = hours.partition("-")
    try:
        parse_span(f"mon {hours}")
    except ValueError as error:
        file.fault(key, str(error).replace("mon ", ""), hours)
        return
    if end < start:
        file.fault(key, f"ends before it starts: a period is within one day, such as {start}-24:00", hours)


def _check_dates(file: TomlFile, written: EstateFile) -> None:
    """A tariff or factor holds until the next, so they stand in order."""
    for name, rows in (("tariffs", written.tariffs), ("carbon", written.carbon)):
        days = [row.valid_from for row in rows]
        for number in range(1, len(days)):
            if days[number] <= days[number - 1]:
                wrong = f"not after the one before ({show_value(days[number - 1])}): write them in order"
                file.fault((name, number, "valid_from"), wrong, days[number])
