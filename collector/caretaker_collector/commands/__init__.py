"""The commands of `caretaker`, one file for each room. A new one stands in `ROOMS`, and that is all."""

from caretaker_collector.commands import (
    accounts,
    audit,
    boards,
    calendar,
    incidents,
    notify,
    orders,
    people,
    policy,
    review,
    savings,
    sla,
    stay,
    wake,
)

ROOMS = (people, policy, orders, calendar, wake, savings, sla, review, notify, stay, incidents, boards, accounts, audit)
"""Each registers its commands with `register(app)`, in this order."""
