"""What machines cost to own: the price of each, spread evenly over the years that it is meant to last.

A machine that is older than that costs nothing more: its price is paid off. One whose day of purchase is not known is
taken to be within its years. Energy is another figure (savings.py); contracts, licences and people are in none.
"""

from collections.abc import Iterable
from datetime import date, timedelta

from msgspec import Struct

from caretaker_rules.model import Device, DeviceClass

YEAR_DAYS = 365.25


class Owned(Struct, frozen=True, kw_only=True):
    """Some machines over some days. `gbp`: the share of their price that falls on these days, of those known."""

    devices: int = 0
    unknown: int = 0  # neither they nor their class say a price and years
    paid_off: int = 0  # older than their years on the last of these days
    gbp: float = 0.0

    @property
    def whole(self) -> float | None:
        """The cost of all of them; None: of some nobody knows."""
        return self.gbp if self.devices and not self.unknown else None


def owned(devices: Iterable[tuple[Device, DeviceClass | None]], first: date, last: date) -> Owned:
    """What it costs to own these devices from `first` to `last`, both included; each day costs the same."""
    count, unknown, paid_off, gbp = 0, 0, 0, 0.0
    for device, its_class in devices:
        count += 1
        cost = device.cost if device.cost is not None else its_class.cost if its_class else None
        years = device.years if device.years is not None else its_class.years if its_class else None
        if cost is None or years is None:
            unknown += 1
            continue
        days = days_owned(device.bought, years, first, last)
        paid_off += device.bought is not None and device.bought + timedelta(days=round(years * YEAR_DAYS)) <= last
        gbp += cost / (years * YEAR_DAYS) * days
    return Owned(devices=count, unknown=unknown, paid_off=paid_off, gbp=gbp)


def days_owned(bought: date | None, years: float, first: date, last: date) -> int:
    """How many of the days from `first` to `last` lie within the years that a machine is meant to last."""
    if bought is None:
        return (last - first).days + 1
    end = bought + timedelta(days=round(years * YEAR_DAYS))
    return max(0, (min(last, end - timedelta(days=1)) - max(first, bought)).days + 1)
