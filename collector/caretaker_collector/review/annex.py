"""The annex: what a school can show for the Department for Education's digital standards, and how well it is known.

Measured: by Caretaker on these days. Declared: somebody of the school stated it, in the asset register or under
[schools.declared] in estate.toml, with a day and a role. Not known: neither; the next step stands beside it.
"""

from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path

import msgspec
from msgspec import Struct

from caretaker_collector.review.columns import told_apart
from caretaker_collector.review.facts import Facts, cut_percent
from caretaker_collector.review.inputs import Inputs, SchoolInputs
from caretaker_collector.review.sources import Sources
from caretaker_collector.review.use_read import bounds_ms, computers
from caretaker_collector.settings import load_policy
from caretaker_contract.errors import ConfigError
from caretaker_dashboards.review.pack import Column, Page, Section, Sentence, Table, Unit, Value
from caretaker_rules.lifecycle import counted, support_of
from caretaker_rules.model import EXEMPT_TAG, Declared, Device, School, Tracked
from caretaker_rules.ownership import YEAR_DAYS
from caretaker_rules.policy import Policy

MEASURED, DECLARED, NOT_KNOWN = "measured", "declared", "not known"
UPS_MINUTES = 30
"""What the standard on servers asks of a UPS."""
HEARD = ("in_use_s", "idle_s", "asleep_s")
_decode = msgspec.msgpack.Decoder(Tracked).decode


class Evidence(Struct, frozen=True, kw_only=True):
    """One thing that the standards ask for."""

    what: str
    known: str
    mark: str
    since: str  # as of when, and by whom where it is declared
    step: str = ""  # what to do next; "": nothing


class Held(Struct, frozen=True, kw_only=True):
    """What there is of a school."""

    inputs: SchoolInputs
    devices: tuple[Device, ...]
    heard: frozenset[str]  # devices that reported on these days
    systems: dict[str, str]  # by device, where its agent told one
    policy: Policy | None  # as it is in force now; None: none is named
    wrong_policy: str  # what to do when it cannot be read; "": nothing
    computers: tuple[Device, ...]

    @property
    def school(self) -> School:
        """The school itself."""
        return self.inputs.school


async def page(inputs: Inputs, facts: Facts) -> Page:
    """All of it. Unavailable: the store."""
    held = [await _held(inputs, each) for each in inputs.schools]
    return Page(
        key="annex",
        title="Annex: evidence for the digital standards",
        question="What can the school show, and how well is it known?",
        sections=[_evidence(inputs, facts, held), _register(inputs, facts, held), _systems(inputs, facts, held)],
    )


async def _held(inputs: Inputs, each: SchoolInputs) -> Held:
    sources, name = inputs.sources, each.school.name
    sums = await sources.store.sums("device_day", HEARD, *bounds_ms(each.school, inputs.span), ("device",), name)
    devices = tuple(device for device in sources.estate.devices.values() if device.school == name)
    names = {device.name for device in devices}
    told = sources.db.execute("SELECT device, tracked FROM devices WHERE school = ?", (name,)).fetchall()
    systems = {device: _decode(blob).system for device, blob in told if device in names}
    policy, wrong = _policy(sources, each.school)
    return Held(
        inputs=each,
        devices=devices,
        heard=frozenset(device for (device,), found in sums.items() if device in names and any(found.values())),
        systems={device: system for device, system in systems.items() if system},
        policy=policy,
        wrong_policy=wrong,
        computers=tuple(computers(sources.estate, each.school)),
    )


def _policy(sources: Sources, school: School) -> tuple[Policy | None, str]:
    """The school's policy, and what to do when it cannot be read."""
    if not school.policy:
        return None, ""
    try:
        return load_policy(Path(sources.folder / school.policy)), ""
    except ConfigError:
        return None, f"{school.policy} cannot be read: caretaker check says why"


def _evidence(inputs: Inputs, facts: Facts, held: Sequence[Held]) -> Section:
    rows: list[list[Value]] = []
    marks = dict.fromkeys((MEASURED, DECLARED, NOT_KNOWN), 0)
    for each in held:
        for one in _all(inputs, each):
            marks[one.mark] += 1
            rows.append([each.school.title, one.what, one.known, one.mark, one.since, one.step])
    for mark, count in marks.items():
        facts.add(f"annex.{mark.replace(' ', '_')}", f"evidence that is {mark}", Unit.COUNT, count)
    said = facts.say(
        "{annex.measured} points are measured, {annex.declared} declared, {annex.not_known} not known; the last column "
        "says what to do next."
    )
    table = Table(
        name="Evidence",
        title="What the standards ask for",
        columns=[
            Column(key="school", title="School"),
            Column(key="what", title="Evidence"),
            Column(key="known", title="What is known"),
            Column(key="mark", title="How", unit=Unit.MARK),
            Column(key="since", title="As of"),
            Column(key="step", title="Next step"),
        ],
        rows=rows,
        empty="There is no school.",
        note="Measured: by Caretaker. Declared: stated by the school, by a role and on a day. It is evidence, not a "
        "judgement: whether a standard is met is for the school to say.",
    )
    return Section(title="Evidence", sentences=[said], tables=[told_apart(inputs, table)])


def _all(inputs: Inputs, held: Held) -> list[Evidence]:
    span, declared = f"{inputs.span.title}", held.school.declared
    today = inputs.span.last
    agents = [d for d in held.devices if _has_agent(inputs.sources, d)]
    return [
        _register_of(held),
        Evidence(
            what="Devices heard of, of the register",
            known=f"{sum(d.name in held.heard for d in agents)} of {len(agents)} that have an agent",
            mark=MEASURED if agents else NOT_KNOWN,
            since=span,
            step="" if agents and all(d.name in held.heard for d in agents) else "look for those that are silent",
        ),
        _out_of_support(inputs, held, declared.operating_systems, today),
        _declared(
            "Age of missing updates", declared.patching, "patching", "no agent tells what is installed; until one does,"
        ),
        _share(
            "Machines with a patch window",
            held,
            lambda device: (
                held.policy is not None and any(window.selects(device, held.school) for window in held.policy.patch)
            ),
            span,
            "write [[patch]] into the policy: name, select, hours",
        ),
        _ups(declared.ups_minutes),
        _share(
            "Machines under a power policy that acts",
            held,
            lambda device: _acts(held, device),
            span,
            'give the school a policy that acts: mode = "live"'
            if not any(_acts(held, device) for device in held.computers)
            else "the rest is exempt, or no rule selects it: look whether that is meant",
        ),
        _level(held, span),
        _declared("Backup", declared.backup, "backup", ""),
        _declared("Broadband", declared.broadband, "broadband", ""),
    ]


def _has_agent(sources: Sources, device: Device) -> bool:
    known = sources.estate.classes.get(device.device_class)
    return known is None or known.agent


def _register_of(held: Held) -> Evidence:
    bought = sum(device.bought is not None for device in held.devices)
    if not held.devices:
        return Evidence(
            what="Asset register",
            known="no device",
            mark=NOT_KNOWN,
            since="",
            step='name one: devices = "devices.csv" in estate.toml',
        )
    return Evidence(
        what="Asset register",
        known=f"{len(held.devices)} devices, {bought} with the day on which they were bought",
        mark=DECLARED,
        since="the register as it is now",
        step="" if bought == len(held.devices) else "add the column bought to the register",
    )


def _out_of_support(inputs: Inputs, held: Held, declared: Declared | None, today: date) -> Evidence:
    what = "Operating systems out of support"
    if not held.systems:
        return _declared(what, declared, "operating_systems", "no agent has told its system yet;")
    own = inputs.sources.estate.support
    found = [support_of(system, own) for system in held.systems.values()]
    out = sum(one is not None and one.ends < today for one in found)
    unknown = sum(one is None for one in found)
    text = f"{out} of {len(found)} machines that told their system"
    return Evidence(
        what=what,
        known=f"{text}; of {unknown} the end of support is not in the table" if unknown else text,
        mark=MEASURED,
        since=f"end of {inputs.span.title}",
        step="renew or replace them" if out else "add [[support]] to estate.toml" if unknown else "",
    )


def _ups(declared: Declared | None) -> Evidence:
    found = _declared("UPS of the server room", declared, "ups_minutes", "no UPS is read yet (SNMP);")
    if declared is not None:
        return msgspec.structs.replace(found, step=f"the standard asks for {UPS_MINUTES} min: compare")
    return found


def _declared(what: str, declared: Declared | None, key: str, why: str) -> Evidence:
    if declared is None:
        step = f"{why} declare {key} under [schools.declared] in estate.toml: text, on, by".strip()
        return Evidence(what=what, known="", mark=NOT_KNOWN, since="", step=step)
    since = f"{declared.on.day} {declared.on:%b %Y}, {declared.by}"
    return Evidence(what=what, known=declared.text, mark=DECLARED, since=since)


def _share(what: str, held: Held, fits: Callable[[Device], bool], span: str, step: str) -> Evidence:
    if held.wrong_policy:
        return Evidence(what=what, known="", mark=NOT_KNOWN, since="", step=held.wrong_policy)
    count = sum(bool(fits(device)) for device in held.computers)
    if not held.computers:
        return Evidence(what=what, known="no machine that people sit at", mark=NOT_KNOWN, since="", step="")
    return Evidence(
        what=what,
        known=f"{count} of {len(held.computers)} ({count * 100 // len(held.computers)} %)",
        mark=MEASURED,
        since=f"the policy as it is now; {span}",
        step="" if count == len(held.computers) else step,
    )


def _acts(held: Held, device: Device) -> bool:
    """Whether a rule of the policy may switch this machine off."""
    policy = held.policy
    return (
        policy is not None
        and policy.may_act(held.school.name, device.room)
        and not {EXEMPT_TAG, *policy.exempt_tags}.intersection(device.tags)
        and any(rule.selects(device, held.school) for rule in policy.rules)
    )


def _level(held: Held, span: str) -> Evidence:
    months = held.inputs.service.months
    percent = cut_percent(months.figure.likely)
    if percent is None:
        return Evidence(
            what="Record of the service level",
            known="",
            mark=NOT_KNOWN,
            since="",
            step=f"{months.why_not or 'nothing of the time owed was seen'}: see the page of service",
        )
    good, late, _ = months.times("fixed")
    return Evidence(
        what="Record of the service level",
        known=f"availability {percent:.2f} %, {good} of {good + late} incidents fixed in time",
        mark=MEASURED,
        since=span,
    )


def _register(inputs: Inputs, facts: Facts, held: Sequence[Held]) -> Section:
    """Count and age by class."""
    today, rows, ages = inputs.span.last, list[list[Value]](), list[float]()
    for each in held:
        classes: dict[str, list[Device]] = {}
        for device in each.devices:
            classes.setdefault(device.device_class, []).append(device)
        for name, devices in sorted(classes.items()):
            its_class = inputs.sources.estate.classes.get(name)
            old = [(today - device.bought).days / YEAR_DAYS for device in devices if device.bought is not None]
            years = [device.years or (its_class.years if its_class else None) for device in devices]
            past = [
                (today - device.bought).days / YEAR_DAYS >= last
                for device, last in zip(devices, years, strict=True)
                if device.bought is not None and last is not None
            ]
            ages += old
            rows.append(
                [
                    each.school.title,
                    name.replace("_", " "),
                    len(devices),
                    len(old),
                    sum(old) / len(old) if old else None,
                    max(old) if old else None,
                    sum(past) if past else None,
                ]
            )
    mean = sum(ages) / len(ages) if ages else None
    facts.add(
        "annex.age",
        "mean age of devices, years",
        Unit.NUMBER,
        mean,
        why_not="the register has no column bought",
        source="asset register",
    )
    facts.add("annex.devices", "devices in the register", Unit.COUNT, sum(len(each.devices) for each in held))
    text = "{annex.devices} devices are in the register" + (", on average {annex.age} years old." if ages else ".")
    sentences: list[Sentence] = [facts.say(text)]
    if not ages:
        sentences.append(facts.say("Their age is not known: add the column bought to the asset register.", "note"))
    table = Table(
        name="Register",
        title="Asset register by class",
        columns=[
            Column(key="school", title="School"),
            Column(key="class", title="Class"),
            Column(key="count", title="Devices", unit=Unit.COUNT, total="sum"),
            Column(key="aged", title="Age known", unit=Unit.COUNT, total="sum"),
            Column(key="mean", title="Mean age, years", unit=Unit.NUMBER),
            Column(key="oldest", title="Oldest, years", unit=Unit.NUMBER),
            Column(key="past", title="Past their years", unit=Unit.COUNT, total="sum"),
        ],
        rows=rows,
        empty='No device is in the register: name one with devices = "devices.csv" in estate.toml.',
    )
    return Section(title="Asset register", sentences=sentences, tables=[told_apart(inputs, table)])


def _systems(inputs: Inputs, facts: Facts, held: Sequence[Held]) -> Section:
    """Operating systems with the end of their support."""
    own, today, rows = inputs.sources.estate.support, inputs.span.last, list[list[Value]]()
    out = 0
    for each in held:
        for name, count in counted(each.systems.values(), own).items():
            known = support_of(name, own)
            gone = known is not None and known.ends < today
            out += count if gone else 0
            rows.append(
                [
                    each.school.title,
                    name,
                    count,
                    known.ends.isoformat() if known else None,
                    "out of support" if gone else "supported" if known else NOT_KNOWN,
                    known.source if known else "add [[support]] to estate.toml: system, ends, source",
                ]
            )
    told = sum(len(each.systems) for each in held)
    facts.add(
        "annex.out_of_support",
        "machines whose system is out of support",
        Unit.COUNT,
        out if told else None,
        why_not="no agent has told its system yet",
        source="hello of each agent",
    )
    sentences = (
        [facts.say("{annex.out_of_support} machines run a system whose makers no longer support it.")]
        if told
        else [facts.say("No agent has told its system yet: it does when it connects.", "note")]
    )
    table = Table(
        name="Systems",
        title="Operating systems",
        columns=[
            Column(key="school", title="School"),
            Column(key="system", title="System"),
            Column(key="count", title="Machines", unit=Unit.COUNT, total="sum"),
            Column(key="ends", title="Until", unit=Unit.DATE),
            Column(key="state", title="State"),
            Column(key="source", title="By"),
        ],
        rows=rows,
        empty="No agent has told its system yet; it does when it connects to the broker.",
        note="As agents told it last. Support of Windows 11 depends on its version and edition.",
    )
    return Section(title="Operating systems", sentences=sentences, tables=[told_apart(inputs, table)])
