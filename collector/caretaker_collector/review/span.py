"""What a review is of: a month, or any days such as a term or a year; the span before it, and a year before."""

from datetime import date, timedelta

from msgspec import Struct

from caretaker_contract.errors import ConfigError
from caretaker_rules import sla

LONGEST_DAYS = 800
_DAY = timedelta(days=1)


class Span(Struct, frozen=True):
    """Local days, both included."""

    first: date
    last: date

    @property
    def month(self) -> str | None:
        """ "2026-09" when it is a whole month."""
        name = f"{self.first:%Y-%m}"
        return name if sla.month_days(name) == (self.first, self.last) else None

    @property
    def name(self) -> str:
        """ "2026-09", or "2026-09-01..2026-12-18"; a folder may be called so."""
        return self.month or f"{self.first}..{self.last}"

    @property
    def title(self) -> str:
        """ "September 2026", "1 Sep to 18 Dec 2026"."""
        if self.month:
            return f"{self.first:%B %Y}"
        year = "" if self.first.year == self.last.year else f" {self.first.year}"
        return f"{day_text(self.first)}{year} to {day_text(self.last)} {self.last.year}"

    @property
    def days(self) -> int:
        """How many days."""
        return (self.last - self.first).days + 1

    def months(self) -> list[str]:
        """Every month of which it has a day."""
        found = [f"{self.first:%Y-%m}"]
        while (following := sla.month_days(found[-1])[1] + _DAY) <= self.last:
            found.append(f"{following:%Y-%m}")
        return found

    def weeks(self) -> list["Span"]:
        """Weeks from Monday to Sunday, cut where the span begins and ends."""
        found, day = [], self.first
        while day <= self.last:
            last = min(self.last, day + _DAY * (6 - day.weekday()))
            found.append(Span(day, last))
            day = last + _DAY
        return found

    def before(self) -> "Span":
        """The month before; of other days, as many of them right before."""
        if self.month:
            return of_month(f"{self.first - _DAY:%Y-%m}")
        return Span(self.first - _DAY * self.days, self.first - _DAY)

    def year_before(self) -> "Span":
        """The same month, or the same dates, a year before; 29 February becomes the 28th."""
        if self.month:
            return of_month(f"{self.first.year - 1:04}-{self.first:%m}")
        return Span(_year_before(self.first), _year_before(self.last))

    def until(self, today: date) -> "Span | None":
        """As much of it as has begun by `today`; None: nothing."""
        return Span(self.first, min(self.last, today)) if self.first <= today else None


def of_month(text: str) -> Span:
    """The span of "2026-09". ConfigError when it is no month."""
    try:
        return Span(*sla.month_days(text))
    except ValueError:
        raise ConfigError([f"{text}  is no month; write it as 2026-09"]) from None


def of_days(first: str, last: str) -> Span:
    """The span of "2026-09-01" to "2026-12-18". ConfigError when they are no days, the wrong way round, or too many."""
    days = []
    for name, text in (("--from", first), ("--to", last)):
        try:
            days.append(date.fromisoformat(text))
        except ValueError:
            raise ConfigError([f"{name} {text!r}  is no day; write it as 2026-09-01"]) from None
    span = Span(*days)
    if span.last < span.first:
        raise ConfigError([f"--to {last}  is before --from {first}"])
    if span.days > LONGEST_DAYS:
        raise ConfigError([f"--to {last}  is {span.days} days from --from; a review is of {LONGEST_DAYS} at most"])
    return span


def named(name: str) -> Span:
    """The span that `Span.name` names. ConfigError as above."""
    first, dots, last = name.partition("..")
    return of_days(first, last) if dots else of_month(name)


def day_text(day: date) -> str:
    """ "3 Sep" """
    return f"{day.day} {day:%b}"


def _year_before(day: date) -> date:
    try:
        return day.replace(year=day.year - 1)
    except ValueError:
        return day.replace(year=day.year - 1, day=28)
