"""The estates that are simulated: two demo schools, written as the files a person would write, or a generic large one.

Sizes follow BESA 2010 as cited in the project's facts: about 50 computers in a primary, 328 in a secondary.
"""

import csv
import json
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

import msgspec

from caretaker_contract.errors import ConfigError
from caretaker_contract.topics import Address
from caretaker_rules.model import (
    CarbonFactor,
    Declared,
    DeclaredFacts,
    Device,
    DeviceClass,
    Estate,
    EstateFile,
    LevelChange,
    Network,
    Readers,
    ReviewSettings,
    Room,
    School,
    Share,
    Tariff,
    Term,
)

STAFF_TAG = "staff"
"""A machine on a teacher's or an office desk: its user comes early, goes late and marks work in front of it."""
DROP_IN_TAG = "drop-in"
"""A machine that anybody may take at break, at lunch and after school, such as a library's."""

_COLUMNS = ("device", "room", "class", "mac", "tags", "behind", "bought", "cost", "years")

TERMS_2026 = [
    Term(starts=date(2026, 4, 13), ends=date(2026, 7, 21)),
    Term(starts=date(2026, 9, 2), ends=date(2026, 10, 23)),
    Term(starts=date(2026, 11, 2), ends=date(2026, 12, 18)),
]
CLASSES = [
    DeviceClass(
        name="thin_client",
        watts_in_use=45,
        watts_idle=45,
        watts_asleep=32,
        watts_off=30,
        cost=280,
        years=7,
        source="40-50 W with its share of the server (published); that share, taken as 30 W, runs on when it is off",
    ),
    DeviceClass(
        name="desktop",
        watts_in_use=90,
        watts_idle=90,
        watts_asleep=3,
        watts_off=2.6,
        cost=450,
        years=6,
        source="tracebase, median of 1 Hz plug measurements 2011-12: 90 W on (34-119), 2.6 W off; sleep 1-5 W",
    ),
    DeviceClass(
        name="laptop",
        watts_in_use=19,
        watts_idle=19,
        watts_asleep=1,
        watts_off=0.4,
        cost=420,
        years=5,
        source="tracebase, median of 1 Hz plug measurements 2011-12: 19 W on, 0.4 W off; sleep taken as 1 W",
    ),
    DeviceClass(
        name="server",
        watts_in_use=200,
        watts_idle=200,
        watts_asleep=200,
        watts_off=5,
        cost=4500,
        years=6,
        always_on=True,
        source="an estimate, not a published figure: put your own measurement here",
    ),
    DeviceClass(
        name="switch",
        watts_in_use=25,
        watts_idle=25,
        watts_asleep=25,
        watts_off=0,
        cost=650,
        years=8,
        always_on=True,
        agent=False,
        source="an estimate, not a published figure: put your own measurement here",
    ),
]
SWITCHED = {"ash": ("ict1", "ict2", "ict3", "ict4", "lib", "sixth", "tech"), "oak": ("ict",)}
"""Rooms with a network switch of their own, which their machines are behind. It has no agent, so nobody hears it."""
SERVED = {"oak": {"thin_client": "servers-02"}}
"""Classes whose machines depend on a server, where no switch of their room stands before it."""
_DAY = [(8, 50), (9, 50), (11, 10), (13, 0), (14, 0)]
"""Start of the five hour-long lessons of the secondary; break 10:50-11:10, lunch 12:10-13:00, end 15:00."""


def _lessons(free: str = "") -> list[str]:
    """The secondary's grid; `free` names empty periods such as "mon3 fri5"."""
    return [
        f"{weekday} {hour:02}:{minute:02}-{hour + 1:02}:{minute:02}"
        for number, (hour, minute) in enumerate(_DAY, start=1)
        for weekday in ("mon", "tue", "wed", "thu", "fri")
        if f"{weekday}{number}" not in free.split()
    ]


_BOUGHT = {
    "ict1": date(2023, 8, 14),
    "ict2": date(2021, 8, 16),
    "tech": date(2018, 8, 20),
    "art": date(2018, 8, 20),
    "music": date(2019, 7, 29),
    "staff": date(2020, 8, 17),
    "servers": date(2022, 4, 11),
    "trolley": date(2024, 8, 19),
}
_BOUGHT_ELSE = date(2022, 8, 15)
"""When the machines of a room were bought; prices and years are those of their class."""
_PUPILS = {"ash": 1010, "oak": 236}
_SHARED = {
    "sixth": [
        Share(whose="partner", hours=["tue 13:00-15:00", "thu 13:00-15:00"]),
        Share(whose="community", hours=["mon-fri 16:00-17:00"]),
    ]
}
_DECLARED = {
    "ash": DeclaredFacts(
        backup=Declared(
            text="nightly, off site, last restore tried in June", on=date(2026, 6, 30), by="network manager"
        ),
        ups_minutes=Declared(
            text="35 min for the server room, by the UPS's own display", on=date(2026, 5, 12), by="technician"
        ),
        broadband=Declared(
            text="1 Gbit/s full fibre, second line 80 Mbit/s", on=date(2026, 4, 20), by="network manager"
        ),
    ),
    "oak": DeclaredFacts(
        backup=Declared(text="nightly to the provider", on=date(2026, 7, 3), by="school business manager")
    ),
}
KPI_FROM, KPI_TO = date(2026, 6, 1), date(2026, 10, 5)
"""The days of the demo's learning platform."""
# room, title, lessons, device class, machines, tags
_Row = tuple[str, str, list[str], str, int, tuple[str, ...]]
_ASH: list[_Row] = [
    ("ict1", "ICT suite 1", _lessons("tue3 fri5"), "thin_client", 31, ()),
    ("ict2", "ICT suite 2", _lessons("mon1 thu4 fri2"), "thin_client", 31, ()),
    ("ict3", "ICT suite 3", _lessons("wed2"), "desktop", 31, ()),
    ("ict4", "ICT suite 4", _lessons("mon5 wed5 fri1"), "desktop", 31, ()),
    ("lib", "Library", ["mon-fri 08:15-16:15"], "desktop", 24, (DROP_IN_TAG,)),
    ("science", "Science laptops", _lessons("tue1 wed4 fri3"), "laptop", 32, ()),
    ("tech", "Design and technology", _lessons("mon2 wed1 thu5"), "desktop", 20, ()),
    ("art", "Art", _lessons("tue2 thu1 fri4"), "desktop", 12, ()),
    ("music", "Music", _lessons("mon4 tue5 thu2"), "desktop", 12, ()),
    ("sixth", "Sixth form study", ["mon-fri 08:30-17:00"], "desktop", 24, (DROP_IN_TAG,)),
    ("english", "English", _lessons("wed5"), "desktop", 10, (STAFF_TAG,)),
    ("maths", "Mathematics", _lessons("thu5"), "desktop", 10, (STAFF_TAG,)),
    ("hums", "Humanities", _lessons("tue5"), "desktop", 10, (STAFF_TAG,)),
    ("langs", "Languages", _lessons("mon5"), "desktop", 8, (STAFF_TAG,)),
    ("staff", "Staff room", [], "desktop", 14, (STAFF_TAG,)),
    ("office", "Office", [], "desktop", 12, (STAFF_TAG,)),
    ("support", "Learning support", _lessons("wed4 wed5"), "laptop", 8, ()),
    ("servers", "Server room", [], "server", 8, ()),
]
_PRIMARY = ["mon-fri 09:00-10:15", "mon-fri 10:35-12:00", "mon-fri 13:00-14:05", "mon-fri 14:15-15:15"]
_OAK: list[_Row] = [
    ("ict", "ICT room", ["mon-fri 09:00-10:15", "mon-thu 10:35-12:00", "mon-fri 13:15-15:00"], "desktop", 16, ()),
    ("class1", "Class 1", _PRIMARY, "desktop", 3, ()),
    ("class2", "Class 2", _PRIMARY, "desktop", 3, ()),
    ("class3", "Class 3", _PRIMARY, "desktop", 3, ()),
    ("class4", "Class 4", _PRIMARY, "desktop", 3, ()),
    ("class5", "Class 5", _PRIMARY, "thin_client", 3, ()),
    ("class6", "Class 6", _PRIMARY, "thin_client", 3, ()),
    ("trolley", "Laptop trolley", ["mon-fri 10:35-12:00", "tue-thu 13:15-15:00"], "laptop", 8, ()),
    ("staff", "Staff room", [], "desktop", 3, (STAFF_TAG,)),
    ("office", "Office", [], "desktop", 3, (STAFF_TAG,)),
    ("servers", "Server cupboard", [], "server", 2, ()),
]
_OAK_LEVELS = [LevelChange(level="enhanced", starts=date(2026, 9, 16))]
"""In mid-month, so that one month of the demo is reckoned in two parts."""
_EXEMPT = {Address("ash", "support-01"), Address("ash", "support-02"), Address("ash", "support-03")}
"""Adapted machines of pupils with special needs: never switched by a rule."""


def _school(
    name: str,
    title: str,
    network: str | None,
    level: str,
    rows: list[_Row],
    policy: str,
    levels: Sequence[LevelChange] = (),
) -> School:
    return School(
        name=name,
        title=title,
        network=network,
        service_level=level,
        levels=list(levels),
        terms=TERMS_2026,
        closed_days=[date(2026, 9, 2), date(2026, 11, 27)],
        rooms=[
            Room(name=room, title=text, lessons=lessons, shared=_SHARED.get(room, []) if name == "ash" else [])
            for room, text, lessons, _, _, _ in rows
        ],
        devices=f"{name}-devices.csv",
        policy=policy,
        pupils=_PUPILS.get(name),
        share_figures=name == "ash",
        review=_review(name) if name in _PUPILS else ReviewSettings(),
        declared=_DECLARED.get(name, DeclaredFacts()),
    )


def _review(name: str) -> ReviewSettings:
    """Readers at addresses that exist nowhere, and a file of indicators."""
    readers = [
        Readers(role="ICT project director", addresses=[f"ict-director@{name}.example"]),
        Readers(role="head teacher", addresses=[f"head@{name}.example"]),
    ]
    return ReviewSettings(readers=readers, kpi=f"{name}-kpi.csv")


def _devices(school: str, number: int, rows: list[_Row]) -> dict[Address, Device]:
    devices: dict[Address, Device] = {}
    for room, _, _, device_class, count, tags in rows:
        behind = SERVED.get(school, {}).get(device_class)
        behind = f"{room}-switch" if room in SWITCHED.get(school, ()) else behind
        for index in range(1, count + 1):
            address = Address(school, f"{room}-{index:02}")
            serial = len(devices) + 1
            devices[address] = Device(
                school=school,
                name=address.device,
                room=room,
                device_class=device_class,
                # locally administered addresses (second digit 2): nobody's real hardware
                mac=f"02:00:{number >> 8:02x}:{number & 255:02x}:{serial >> 8:02x}:{serial & 255:02x}",
                tags=(*tags, "exempt") if address in _EXEMPT else tags,
                behind=behind,
                bought=_BOUGHT.get(room, _BOUGHT_ELSE),
            )
    for room in SWITCHED.get(school, ()):
        switch = Address(school, f"{room}-switch")
        devices[switch] = Device(
            school=school, name=switch.device, room=room, device_class="switch", bought=_BOUGHT_ELSE
        )
    return devices


def _estate(provider: str, networks: list[Network], schools: list[School], devices: dict[Address, Device]) -> Estate:
    return Estate(
        provider=provider,
        networks={network.name: network for network in networks},
        schools={school.name: school for school in schools},
        classes={each.name: each for each in CLASSES},
        devices=devices,
        tariffs=(
            Tariff(
                valid_from=date(2025, 10, 1), pence_per_kwh=25.0, source="business rates of October 2025: 23.8-27.8 p"
            ),
        ),
        carbon=(
            CarbonFactor(
                valid_from=date(2025, 1, 1),
                kg_co2e_per_kwh=0.17700,
                source="UK grid electricity, 2025 conversion factors",
            ),
        ),
    )


def demo_estate() -> Estate:
    """Oakley Primary (50 machines) and Ashfield Secondary (328), in one network, and their rooms' switches."""
    network = Network(name="green", title="Green network")
    schools = [
        _school("ash", "Ashfield Secondary", "green", "enhanced", _ASH, "policy.toml"),
        _school("oak", "Oakley Primary", "green", "transitional", _OAK, "policy.toml", _OAK_LEVELS),
    ]
    devices = {**_devices("ash", 1, _ASH), **_devices("oak", 2, _OAK)}
    return _estate("Demo Managed Service", [network], schools, devices)


def synthetic_fleet(n_devices: int, devices_per_school: int = 328) -> Estate:
    """An estate of `n_devices` machines in schools like Ashfield (s0001, s0002, ...), for load."""
    schools: list[School] = []
    devices: dict[Address, Device] = {}
    while len(devices) < n_devices:
        number = len(schools) + 1
        name = f"s{number:04}"
        schools.append(_school(name, f"School {number}", None, "transitional", _ASH, ""))
        here: list[Device] = []
        template = list(_devices(name, number, _ASH).values())
        for index in range(min(devices_per_school, n_devices - len(devices))):
            turn, place = divmod(index, len(template))
            device = template[place]
            here.append(msgspec.structs.replace(device, name=f"{device.name}-{turn}", mac=None) if turn else device)
        devices.update((device.address, device) for device in here)
    return _estate("Synthetic", [], schools, devices)


def write_demo_estate(folder: Path, policy: Path, service: Path | None = None) -> Path:
    """Write estate.toml, two asset registers, policy.toml and service.toml (copies); the path of estate.toml.

    `service` None: no service levels are agreed. Else it has to have the levels transitional and enhanced.
    """
    folder.mkdir(parents=True, exist_ok=True)
    estate = demo_estate()
    comment = "Two invented schools for the demonstration. Every figure here is a setting."
    write_estate(folder, estate, comment, "service.toml" if service is not None else "")
    for school in estate.schools.values():
        _write_indicators(folder / school.review.kpi, school)
    (folder / "policy.toml").write_bytes(policy.read_bytes())
    if service is not None:
        (folder / "service.toml").write_bytes(service.read_bytes())
    return folder / "estate.toml"


def _write_indicators(path: Path, school: School) -> None:
    """What the learning platform of a school would count on the days of its terms: a little more each week."""
    lines, day = ["date,indicator,value"], KPI_FROM
    while day <= KPI_TO:
        open_day = any(term.starts <= day <= term.ends for term in school.terms) and day not in school.closed_days
        pupils, week = school.pupils or 0, (day - KPI_FROM).days // 7
        quiet = day.weekday() >= 5 or not open_day
        views = pupils * (2 if quiet else 9) * (100 + 2 * week + (day.toordinal() * 7) % 5) // 100
        lines.append(f"{day},page views,{views}")
        if not quiet:
            lines.append(f"{day},pupils who signed in,{pupils * (55 + week + (day.toordinal() * 3) % 4) // 100}")
            lines.append(f"{day},pieces of work handed in,{pupils * (12 + (day.toordinal() * 5) % 6) // 100}")
        day += timedelta(days=1)
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")


def write_estate(folder: Path, estate: Estate, comment: str, service: str = "") -> None:
    """Write `estate` as estate.toml and one asset register for each school; `service` names its service levels."""
    lines = [f"# {comment}", f"provider = {_text(estate.provider)}"]
    lines += [f"service = {_text(service)}", ""] if service else [""]
    for network in estate.networks.values():
        lines += ["[[networks]]", f"name = {_text(network.name)}", f"title = {_text(network.title)}", ""]
    for school in estate.schools.values():
        lines += _school_lines(school)
        with (folder / school.devices).open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(_COLUMNS)
            for device in estate.devices.values():
                if device.school == school.name:
                    mac, tags = device.mac or "", " ".join(device.tags)
                    first = (device.name, device.room, device.device_class, mac, tags, device.behind or "")
                    money = (
                        device.bought or "",
                        *(f"{each:g}" if each else "" for each in (device.cost, device.years)),
                    )
                    writer.writerow((*first, *money))
    for each in estate.classes.values():
        lines += ["[[classes]]", f"name = {_text(each.name)}"]
        lines += [
            f"{key} = {getattr(each, key):g}" for key in ("watts_in_use", "watts_idle", "watts_asleep", "watts_off")
        ]
        lines += [f"{key} = {value:g}" for key in ("cost", "years") if (value := getattr(each, key)) is not None]
        lines += ["always_on = true"] if each.always_on else []
        lines += [] if each.agent else ["agent = false"]
        lines += [f"source = {_text(each.source)}", ""]
    for tariff in estate.tariffs:
        lines += ["[[tariffs]]", f"valid_from = {tariff.valid_from}", f"pence_per_kwh = {tariff.pence_per_kwh!r}"]
        lines += [f"source = {_text(tariff.source)}", ""]
    for factor in estate.carbon:
        lines += ["[[carbon]]", f"valid_from = {factor.valid_from}", f"kg_co2e_per_kwh = {factor.kg_co2e_per_kwh!r}"]
        lines += [f"source = {_text(factor.source)}", ""]
    (folder / "estate.toml").write_text("\n".join(lines), encoding="utf-8")


def _school_lines(school: School) -> list[str]:
    lines = ["[[schools]]", f"name = {_text(school.name)}", f"title = {_text(school.title)}"]
    lines += [f"network = {_text(school.network)}"] if school.network else []
    lines += [f"time_zone = {_text(school.time_zone)}", f"service_level = {_text(school.service_level)}"]
    if school.levels:
        changes = [f"{{ level = {_text(change.level)}, starts = {change.starts} }}" for change in school.levels]
        lines += [f"levels = [{', '.join(changes)}]"]
    lines += [f"service_hours = {_texts(school.service_hours)}", "terms = ["]
    lines += [f"  {{ starts = {term.starts}, ends = {term.ends} }}," for term in school.terms]
    lines += ["]", f"closed_days = [{', '.join(str(day) for day in school.closed_days)}]"]
    lines += [f"devices = {_text(school.devices)}"]
    lines += [f"policy = {_text(school.policy)}"] if school.policy else []
    lines += [f"pupils = {school.pupils}"] if school.pupils else []
    lines += ["share_figures = true"] if school.share_figures else []
    lines += _review_lines(school)
    for room in school.rooms:
        lines += ["", "[[schools.rooms]]", f"name = {_text(room.name)}", f"title = {_text(room.title)}"]
        lines += [f"lessons = {_texts(room.lessons)}"] if room.lessons is not None else []
        shares = [f"{{ whose = {_text(share.whose)}, hours = {_texts(share.hours)} }}" for share in room.shared]
        lines += [f"shared = [{', '.join(shares)}]"] if shares else []
    return [*lines, ""]


def _review_lines(school: School) -> list[str]:
    """What the monthly review needs of a school."""
    lines: list[str] = []
    if school.review.kpi:
        lines += ["", "[schools.review]", f"kpi = {_text(school.review.kpi)}", "readers = ["]
        for reader in school.review.readers:
            lines += [f"  {{ role = {_text(reader.role)}, addresses = {_texts(reader.addresses)} }},"]
        lines += ["]"]
    facts = {name: getattr(school.declared, name) for name in DeclaredFacts.__struct_fields__}
    if given := {name: fact for name, fact in facts.items() if fact is not None}:
        lines += ["", "[schools.declared]"]
        lines += [
            f"{name} = {{ text = {_text(fact.text)}, on = {fact.on}, by = {_text(fact.by)} }}"
            for name, fact in given.items()
        ]
    return lines


def _text(value: str) -> str:
    return json.dumps(value)  # a JSON string of printable text is a basic string of TOML


def _texts(values: list[str]) -> str:
    if len(values) < 4:
        return f"[{', '.join(map(_text, values))}]"
    rows = [values[start : start + 5] for start in range(0, len(values), 5)]
    return "[\n" + "".join(f"  {', '.join(map(_text, row))},\n" for row in rows) + "]"


def read_estate(folder: Path) -> Estate:
    """Read estate.toml and its asset registers; ConfigError when they cannot be read.

    The simulator trusts the files: `caretaker check` is what explains mistakes to people.
    """
    path = folder / "estate.toml"
    try:
        file = msgspec.toml.decode(path.read_bytes(), type=EstateFile)
        devices: dict[Address, Device] = {}
        for school in file.schools:
            if not school.devices:
                continue
            with (folder / school.devices).open(newline="", encoding="utf-8") as register:
                for row in csv.DictReader(register):
                    device = msgspec.convert(
                        {
                            "school": school.name,
                            "name": row["device"],
                            "room": row["room"],
                            "device_class": row["class"],
                            "mac": row["mac"].lower() or None,
                            "tags": tuple(row["tags"].split()),
                            "behind": row.get("behind") or None,
                            "bought": date.fromisoformat(row["bought"]) if row.get("bought") else None,
                        },
                        Device,
                    )
                    devices[device.address] = device
    except (OSError, msgspec.MsgspecError, KeyError, ValueError) as error:
        raise ConfigError([f"{path}: {error} (try: caretaker check {path})"]) from None
    return Estate(
        provider=file.provider,
        networks={network.name: network for network in file.networks},
        schools={school.name: school for school in file.schools},
        classes={each.name: each for each in file.classes},
        devices=devices,
        tariffs=tuple(file.tariffs),
        carbon=tuple(file.carbon),
    )
