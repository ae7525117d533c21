"""What only several keys of `[desk]` and `[http]` together can get wrong, and what the desk makes of them."""

import ipaddress
from urllib.parse import urlsplit

from caretaker_collector.files.faults import choose
from caretaker_collector.files.kinds import CollectorSettings
from caretaker_collector.files.toml_file import TomlFile
from caretaker_dashboards.desk.guard_settings import LOOPBACK_NAMES, GuardSettings
from caretaker_dashboards.desk.peers import plain
from caretaker_rules.durations import parse_duration
from caretaker_rules.model import Estate

EVERYWHERE = frozenset({"0.0.0.0", "::"})  # noqa: S104  # no name that anybody could type
IDLE_FOR_S = (60, 24 * 3600)
AT_MOST_S = (60, 30 * 86_400)

PLAIN = (
    "passwords would cross the network in plain: listen on 127.0.0.1 with a web server in front, and give its https "
    "address under [desk]; or say there behind_proxy = true where something else stands between, or on = false"
)


def guard_of(settings: CollectorSettings) -> GuardSettings:
    """What the guard in front of the desk's pages has to know."""
    desk, address = settings.desk, address_of(settings)
    names = [urlsplit(address).hostname or "", settings.http.host, *desk.hosts]
    return GuardSettings(
        address=address,
        hosts=frozenset(name.lower().removesuffix(".") for name in names if name and name not in EVERYWHERE),
        header=desk.header,
        proxies=frozenset(plain(proxy) for proxy in desk.proxies),
        open_schools=frozenset(desk.public_school_pages),
    )


def address_of(settings: CollectorSettings) -> str:
    """How people reach the desk, spelled as browsers do: scheme, host and port, lower case, no slash at the end."""
    if settings.desk.address:
        parts = urlsplit(settings.desk.address)
        usual = {"http": 80, "https": 443}.get(parts.scheme)
        name = parts.hostname or ""
        host = f"[{name}]" if ":" in name else name
        return f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port not in (None, usual) else "")
    http = settings.http
    name = "127.0.0.1" if http.host in EVERYWHERE else http.host.lower()
    host = f"[{name}]" if ":" in name else name
    return f"http://{host}" + (f":{http.port}" if http.port != 80 else "")


def check_desk(file: TomlFile, settings: CollectorSettings) -> None:
    """Faults of the table, for `caretaker check`."""
    desk = settings.desk
    if wrong := _wrong_address(desk.address):
        file.fault(("desk", "address"), wrong, desk.address)
    elif (
        desk.on
        and settings.http.host not in LOOPBACK_NAMES
        and not desk.behind_proxy
        and not address_of(settings).startswith("https://")
    ):
        key = ("desk", "address") if desk.address else ("http", "host")
        file.fault(key, PLAIN, desk.address or settings.http.host)
    for name, (least_s, most_s), say in (
        ("session_idle", IDLE_FOR_S, "1 min and 24 h"),
        ("session_at_most", AT_MOST_S, "1 min and 30 d"),
    ):
        text = getattr(desk, name)
        try:
            if not least_s <= parse_duration(text) <= most_s:
                file.fault(("desk", name), f"must lie between {say}", text)
        except ValueError as error:
            file.fault(("desk", name), str(error), text)
    if desk.header and not desk.proxies:
        file.fault(("desk", "header"), 'nobody may send it: add proxies = ["127.0.0.1"]', desk.header)
    if desk.proxies and not desk.header:
        file.fault(("desk", "proxies"), 'nothing is believed of them: add header = "X-Remote-User"')
    for number, proxy in enumerate(desk.proxies):
        try:
            ipaddress.ip_address(proxy)
        except ValueError:
            file.fault(("desk", "proxies", number), "not an address; write it as 127.0.0.1 or ::1", proxy)
    for number, host in enumerate(desk.hosts):
        if "/" in host or (":" in host and host.count(":") == 1):
            file.fault(("desk", "hosts", number), "a name without scheme, port and path", host)


def check_desk_schools(file: TomlFile, settings: CollectorSettings, estate: Estate) -> None:
    """Schools that the estate does not have."""
    for number, school in enumerate(settings.desk.public_school_pages):
        if school not in estate.schools:
            file.fault(("desk", "public_school_pages", number), choose(school, list(estate.schools), "school"), school)


def _wrong_address(address: str) -> str:
    remedy = 'write it as "https://desk.school.example"'
    if not address:
        return ""
    try:
        parts = urlsplit(address)
        name, _ = parts.hostname, parts.port  # .port raises ValueError when it is no number
    except ValueError:
        return f"no address; {remedy}"
    if parts.scheme not in ("http", "https") or not name or not address.isascii() or not address.isprintable():
        return f"no address of a web server; {remedy}"
    if parts.path not in ("", "/") or parts.query or parts.fragment or parts.username is not None:
        return f"only scheme, name and port; {remedy}"
    return ""
