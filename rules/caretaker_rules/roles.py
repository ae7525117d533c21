"""Who may do what: the roles of people who sign in, the scopes of tokens, and what each of them allows."""

from enum import StrEnum
from typing import Literal

from msgspec import Struct


class Permission(StrEnum):
    """One kind of thing that somebody may do."""

    SEE = "see"
    INCIDENTS = "incidents"  # acknowledge, assign, note, merge, pause, fix, report
    HOLD = "hold"  # keep machines on, and end what they wrote
    RECORDS = "records"  # freeze, maintenance, silence
    SWITCH = "switch"  # wake, shut down, restart, sleep
    STOP = "stop"  # the stop switch; and turning it off again
    ADMINISTER = "administer"  # accounts, tokens, links of rooms, the audit log


class Role(StrEnum):
    """What somebody who signs in is."""

    VIEWER = "viewer"
    ENGINEER = "engineer"
    MANAGER = "manager"
    DIRECTOR = "director"  # a school's ICT project director: that school only


ROLE_MAY: dict[Role, frozenset[Permission]] = {
    Role.VIEWER: frozenset({Permission.SEE}),
    Role.ENGINEER: frozenset(set(Permission) - {Permission.ADMINISTER}),
    Role.MANAGER: frozenset(Permission),
    # What can only keep machines on, or stop Caretaker, is for the school itself too.
    Role.DIRECTOR: frozenset({Permission.SEE, Permission.HOLD, Permission.STOP}),
}

Scope = Literal["read", "incidents", "operate"]
SCOPE_MAY: dict[str, frozenset[Permission]] = {
    "read": frozenset({Permission.SEE}),
    "incidents": frozenset({Permission.SEE, Permission.INCIDENTS}),
    "operate": frozenset(set(Permission) - {Permission.ADMINISTER}),
}
"""What a token of each scope may do."""

Via = Literal["desk", "api", "cli", "link", "agent"]


class Who(Struct, frozen=True, kw_only=True):
    """Who does something. `name` is a role or a member of staff, never a pupil; `schools` None: all of them."""

    name: str
    via: Via
    may: frozenset[Permission]
    schools: tuple[str, ...] | None = None

    def allows(self, permission: Permission, school: str | None) -> bool:
        """Whether they may do that at this school (None: something of the whole estate)."""
        if permission not in self.may:
            return False
        return self.schools is None or (school is not None and school in self.schools)


def operator(name: str) -> Who:
    """Somebody at the collector's own command line, who could change its files anyway: everything is allowed."""
    return Who(name=name, via="cli", may=frozenset(Permission))
