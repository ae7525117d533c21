"""The page of the network and the server room, from what is recorded so far, and of repairs without a visit.

Recorded are servers (by their own agents), what is cut off when a switch or a line fails, and what was done about it.
Ports, the line's traffic and a UPS speak SNMP, which nothing reads yet: the page says so instead of leaving them out.
"""

import sqlite3
from collections.abc import Iterable, Sequence

from msgspec import Struct

from caretaker_collector.review.facts import Facts, cut_percent
from caretaker_collector.review.inputs import Inputs, SchoolInputs
from caretaker_collector.review.service_read import Shown
from caretaker_collector.review.use_read import bounds_ms
from caretaker_dashboards.review.pack import Chart, Column, Page, Section, Sentence, Table, Unit, Value
from caretaker_rules.availability import Figure
from caretaker_rules.findings import FindingKind
from caretaker_rules.incidents import RULES
from caretaker_rules.model import Device
from caretaker_rules.repairs import SOON_MS, Repair, repair

OF_NETWORK = {
    FindingKind.LINK_DOWN: "switch or room cut off",
    FindingKind.SERVER_DOWN: "server down",
    FindingKind.SCHOOL_DARK: "whole school silent: its line or its power",
    FindingKind.RELAY_SILENT: "relay silent",
}
OF_MACHINES = frozenset(
    {FindingKind.LOST, FindingKind.NOT_BACK, FindingKind.CANNOT_WAKE, FindingKind.CRASHING, FindingKind.SERVER_DOWN}
)
"""What a restart or a wake can put right; others are listed too, and can only have been a visit or not known."""
MOST = 7
"""Rows on paper."""
FEWEST_DRAWN, TELLING = 3, 0.5  # servers, and percent between them: below that the table alone tells as much
FIELDS = ("owed_s", "maintained_s", "available_s", "down_s", "unseen_s", "in_use_s", "idle_s", "energy_wh")
NOT_RECORDED: tuple[tuple[str, str], ...] = (
    (
        "Ports of switches: up, speed, errors",
        "nothing to do: they come with the reading of SNMP, which is not there yet",
    ),
    ("The line's traffic and delay", "ask the line's provider; Caretaker tells only when a whole school is silent"),
    ("UPS: load, minutes left, age of its battery", "declare ups_minutes under [schools.declared] in estate.toml"),
    ("Measured watts of servers and switches", "put measured watts into their class in estate.toml"),
)
_S_PER_H, _WH_PER_KWH = 3600, 1000


class Server(Struct, frozen=True, kw_only=True):
    """An always-on device with an agent, over the span."""

    school: str
    device: Device
    figure: Figure  # ms of owed time
    on_s: float
    kwh: float


async def page(inputs: Inputs, facts: Facts) -> Page:
    """All of it. Unavailable: the store."""
    servers = [server for each in inputs.schools for server in await _servers(inputs, each)]
    return Page(
        key="network",
        title="Network and server room",
        question="Did the line, the switches and the servers hold, and what was put right without a visit?",
        sections=[_always_on(inputs, facts, servers), _failed(inputs, facts), _repairs(inputs, facts), _missing(facts)],
    )


async def _servers(inputs: Inputs, each: SchoolInputs) -> list[Server]:
    estate, name = inputs.sources.estate, each.school.name
    sums = await inputs.sources.store.sums(
        "device_day", FIELDS, *bounds_ms(each.school, inputs.span), ("class", "device"), name
    )
    found = []
    for device in estate.devices.values():
        known = estate.classes.get(device.device_class)
        if device.school != name or known is None or not known.always_on or not known.agent:
            continue
        of = sums.get((device.device_class, device.name), {})
        found.append(
            Server(
                school=each.school.title,
                device=device,
                figure=Figure(*(round(of.get(field, 0.0)) * 1000 for field in FIELDS[:5])),
                on_s=of.get("in_use_s", 0.0) + of.get("idle_s", 0.0),
                kwh=of.get("energy_wh", 0.0) / _WH_PER_KWH,
            )
        )
    return found


def _always_on(inputs: Inputs, facts: Facts, servers: Sequence[Server]) -> Section:
    """Servers: availability and energy."""
    known = [server for server in servers if server.on_s or server.figure.owed_ms]
    why = (
        "no device of an always-on class with an agent is in the asset register"
        if not servers
        else "nothing was heard of any server on these days: look whether its agent runs"
    )
    kwh = sum(server.kwh for server in known)
    whole = sum((server.figure for server in known), Figure())
    facts.add(
        "network.availability",
        "availability of servers",
        Unit.PERCENT,
        cut_percent(whole.likely),
        low=cut_percent(whole.low),
        high=cut_percent(whole.high),
        why_not=why if not known else inputs.now.no_service or "nothing of the time owed was seen",
        source="device_day",
    )
    facts.add("network.kwh", "energy of servers", Unit.KWH, kwh if known else None, why_not=why, source="device_day")
    used = inputs.now.energy.kwh
    share = kwh / used if known and used else None
    facts.add(
        "network.share",
        "energy of servers, of all that was used",
        Unit.RATIO,
        share,
        why_not=why if not known else inputs.now.no_energy or "no energy was used",
        source="device_day",
    )
    watts = sum(server.kwh * _WH_PER_KWH / (server.on_s / _S_PER_H) for server in known if server.on_s)
    facts.add(
        "network.watts",
        "power of servers together while they are on, by the watts of their class",
        Unit.WATTS,
        watts if known else None,
        why_not=why,
        source="device_day",
    )
    sentences: list[Sentence] = []
    if known:
        text = "Servers used {network.kwh}"
        text += ", {network.share} of all energy" if share is not None else ""
        sentences.append(facts.say(f"{text}; the watts are those of their class, not measured ones."))
        if whole.likely is not None:
            sentences.append(facts.say("They were available for {network.availability} of the time owed."))
    else:
        sentences.append(facts.say(f"There is no figure of servers: {why}.", "note"))
    rows: list[list[Value]] = [
        [
            f"{server.school}: {server.device.name}" if inputs.where.of_many else server.device.name,
            server.device.room,
            server.device.device_class,
            server.on_s / _S_PER_H,
            cut_percent(server.figure.likely),
            cut_percent(server.figure.low),
            cut_percent(server.figure.high),
            server.kwh,
        ]
        for server in known
    ]
    table = Table(
        name="Servers",
        title="What is always on",
        columns=[
            Column(key="device", title="Device"),
            Column(key="room", title="Room"),
            Column(key="class", title="Class"),
            Column(key="on", title="On", unit=Unit.HOURS, total="sum"),
            Column(key="likely", title="Availability", unit=Unit.PERCENT),
            Column(key="low", title="at least", unit=Unit.PERCENT),
            Column(key="high", title="at most", unit=Unit.PERCENT),
            Column(key="kwh", title="Energy", unit=Unit.KWH, total="sum"),
        ],
        rows=rows,
        empty=f"{why[:1].upper()}{why[1:]}.",
        note="Devices of always-on classes that have an agent. Switches have none: what they carry is in the next "
        "table, their energy in no figure.",
        most=MOST,
    )
    chart = Chart(
        kind="dots",
        title="Availability of each server",
        table=table.name,
        x="device",
        y=["likely"],
        low="low",
        high="high",
        alt="A dot for each server: how much of its owed time it was available.",
    )
    likely = [row[4] for row in rows if isinstance(row[4], int | float)]
    drawn = len(rows) >= FEWEST_DRAWN and max(likely, default=0.0) - min(likely, default=0.0) >= TELLING
    return Section(title="Servers", sentences=sentences, charts=[chart] if drawn else [], tables=[table])


def _failed(inputs: Inputs, facts: Facts) -> Section:
    """Incidents of the line, switches, servers and relays."""
    shown = [(each, one) for each in inputs.schools for one in each.service.opened if one.incident.kind in OF_NETWORK]
    rows: list[list[Value]] = []
    for each, one in shown:
        incident = one.incident
        lasted = (incident.fixed_ms - incident.since_ms) / 1000 if incident.fixed_ms else None
        rows.append(
            [
                incident.name,
                OF_NETWORK[incident.kind],
                str(incident.subject).replace(f"{each.school.name}/", "" if inputs.one else f"{each.school.name}/"),
                incident.since_ms,
                lasted,
                one.fix.used_ms / 1000 if one.fix is not None else None,
                len(incident.ever_hit),
            ]
        )
    facts.add(
        "network.failed", "failures of line, switches, servers and relays", Unit.COUNT, len(rows), source="incident log"
    )
    said = (
        facts.say("{network.failed} failures of the line, a switch, a server or a relay were recorded.")
        if rows
        else facts.say("No failure of the line, a switch, a server or a relay was recorded.", "good")
    )
    table = Table(
        name="Network failures",
        title="Line, switches, servers and relays",
        columns=[
            Column(key="name", title="Incident"),
            Column(key="kind", title="What"),
            Column(key="where", title="Where"),
            Column(key="since", title="Since", unit=Unit.MOMENT),
            Column(key="lasted", title="Lasted", unit=Unit.SECONDS),
            Column(key="service", title="of it in service", unit=Unit.SECONDS),
            Column(key="hits", title="Machines behind it", unit=Unit.COUNT, total="sum"),
        ],
        rows=rows,
        empty="No incident of the network was opened on these days.",
        most=MOST,
        note="A switch has no agent: that it failed is concluded from the machines behind it. Not over yet: no length.",
    )
    return Section(title="What failed", sentences=[said], tables=[table])


def _repairs(inputs: Inputs, facts: Facts) -> Section:
    """How incidents were put right."""
    rows: list[list[Value]] = []
    counts = dict.fromkeys(Repair, 0)
    for each in inputs.schools:
        for one in each.service.opened:
            how = _how(inputs.sources.db, one)
            if how is None:
                continue
            counts[how] += 1
            if how is not Repair.UNKNOWN:
                rows.append(
                    [one.incident.name, str(one.incident.subject), one.incident.title, how.value, one.incident.fixed_ms]
                )
    for how, key, title in (
        (Repair.REMOTE, "remote", "incidents put right by a command, without a visit"),
        (Repair.VISIT, "visits", "incidents of which somebody wrote that they went there"),
        (Repair.UNKNOWN, "unclear", "incidents that ended, and nothing says how"),
    ):
        facts.add(f"network.{key}", title, Unit.COUNT, counts[how], source="incident log, ledger")
    if any(counts.values()):
        said = facts.say(
            "{network.remote} incidents were put right without a visit, {network.visits} with one; for "
            "{network.unclear} nobody wrote how they ended."
        )
    else:
        said = facts.say(
            "No incident that was opened on these days has been fixed, so there is no repair to count.", "note"
        )
    table = Table(
        name="Repairs",
        title="Repairs with and without a visit",
        columns=[
            Column(key="name", title="Incident"),
            Column(key="where", title="Where"),
            Column(key="what", title="What"),
            Column(key="how", title="Put right"),
            Column(key="when", title="Over", unit=Unit.MOMENT),
        ],
        rows=rows,
        empty="Of no repair is it on record how it was done: write that down with caretaker incident note.",
        note="Without a visit: a restart or wake of a machine that was hit was carried out while the incident was "
        "open, it was over within an hour, and nothing that was written of it speaks of going there or of work by "
        "hand. What went away by itself is not counted.",
    )
    return Section(title="Repairs without a visit", sentences=[said], tables=[table])


def _how(db: sqlite3.Connection, one: Shown) -> Repair | None:
    incident = one.incident
    texts = [entry.text for entry in one.log if entry.by != RULES and entry.text]
    commands: list[int] = []
    if incident.kind in OF_MACHINES and incident.fixed_ms:
        devices = {hit.device for hit in (*incident.ever_hit, incident.subject) if hit.device}
        commands = list(_carried_out(db, incident.subject.school, devices, incident.fixed_ms))
    return repair(incident.opened_ms, incident.fixed_ms, commands, texts)


def _carried_out(db: sqlite3.Connection, school: str, devices: Iterable[str], fixed_ms: int) -> Iterable[int]:
    """When restarts and wakes of these machines were carried out, shortly before a moment."""
    for device in devices:
        yield from (
            at_ms
            for (at_ms,) in db.execute(
                "SELECT step_ms FROM commands WHERE school = ? AND device = ? AND verb = 'restart' AND status = 'done' "
                "AND step_ms BETWEEN ? AND ?",
                (school, device, fixed_ms - SOON_MS, fixed_ms),
            )
        )
        yield from (
            at_ms
            for (at_ms,) in db.execute(
                "SELECT result_ms FROM wakes WHERE school = ? AND device = ? AND result = 'awake' AND attempts > 0 "
                "AND result_ms BETWEEN ? AND ?",
                (school, device, fixed_ms - SOON_MS, fixed_ms),
            )
        )


def _missing(facts: Facts) -> Section:
    """What a reader would look for here, and will not find."""
    return Section(
        title="What is not recorded yet",
        sentences=[
            facts.say(
                "Ports, the line's traffic and the UPS are not read yet: they are not known, rather than well.", "note"
            )
        ],
        tables=[
            Table(
                name="Not recorded",
                title="Not recorded yet",
                columns=[Column(key="what", title="What"), Column(key="next", title="Until then")],
                rows=[list(row) for row in NOT_RECORDED],
            )
        ],
    )
