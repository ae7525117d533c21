""" "We are still here": until when a room is kept on that somebody in it asked for.

A machine asks through a numbered report, which may come late: then the hour has run since it was asked, not since we
heard of it. When that was, the machine's clock says, which may be wrong. Its skew is known at each message as our time
of receipt minus its time of sending, and holds its clock's error *and* the message's journey. A journey is as good as
instant while our link stands; it may have been hours when we were away and the broker kept the message for us. So the
skew is taken at its word, but for messages from the time before our link came up that reach us soon after.
"""

from msgspec import Struct

from caretaker_contract.messages import Report

TRUSTED_SKEW_MS = 120_000
"""What a journey over a standing link may take, and a clock may be off, without doubt about the hour."""
CATCH_UP_MS = 600_000
"""So long after our link came up the broker may still be handing over what it had kept."""
ENOUGH_MS = 2_700_000
"""A room that is kept on for at least so long anyway is not held a second time for a machine in it."""


class Heard(Struct, frozen=True, kw_only=True):
    """What the collector knows beside a report. Times in ms of the collector's clock."""

    received_ms: int
    link_since_ms: int  # since when our link to the broker has stood; 0: not known, or it is down
    known_skew_ms: int | None = None  # of the machine's message before this one; None: there was none
    known_at_ms: int = 0  # when that one came


def skew_ms(sent_ms: int, heard: Heard) -> int:
    """The collector's clock minus the machine's, as near as can be told. The greater it is, the longer the hold."""
    seen = heard.received_ms - sent_ms
    fresh_link = not heard.link_since_ms or heard.received_ms < heard.link_since_ms + CATCH_UP_MS
    may_have_waited = fresh_link and (not heard.link_since_ms or sent_ms < heard.link_since_ms)
    if seen <= TRUSTED_SKEW_MS or not may_have_waited:
        return seen
    if heard.known_skew_ms is None or 0 < heard.link_since_ms <= heard.known_at_ms:
        return 0  # what is known of its clock is nothing, or waited as long: most clocks are right
    return min(seen, heard.known_skew_ms)


def hold_of(report: Report, heard: Heard) -> tuple[int, int] | None:
    """(from, until) of the hold that a report asks for, by the collector's clock; None when it asks for none.

    It may be over already. It never ends later than if it had been asked when the report came.
    """
    if not isinstance(report.stay_s, int):
        return None
    asked_ms = min(report.at_ms + skew_ms(report.sent_ms, heard), heard.received_ms)
    return asked_ms, asked_ms + report.stay_s * 1000
