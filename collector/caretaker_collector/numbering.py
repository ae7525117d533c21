"""Which numbers of a device have come, and which are missing: the collector's half of "nothing is lost" (I1).

A device numbers its messages (epoch, boot, seq) and says with each the last number of the boot before. So every gap
shows, also one at the end of a boot. Pure: no clock, no I/O.
"""

from msgspec import Struct, field

Gap = tuple[int, int]
"""First and last missing number, both included."""

EPOCHS_KEPT = 2
"""A reinstalled agent starts a new epoch; stragglers of the one before are still told from repeats."""

MOST = 2**53
"""Where a count stays. The contract allows such numbers, and a device that lies may not stop us with their sum."""


class Boot(Struct, array_like=True, gc=False):
    """One boot: the highest number known to exist, and those below it that have not come."""

    top: int = 0
    closed: bool = False  # `top` is the last number there will be
    linked: bool = False  # one of its messages came and told about the boot before
    gaps: list[Gap] = field(default_factory=list)


class Numbering(Struct, array_like=True):
    """All boots of one epoch that are not complete, and the newest."""

    epoch: str
    boots: dict[int, Boot] = field(default_factory=dict)
    floor: int = 0  # boots below this are complete
    received: int = 0  # different numbers that came
    dropped: int = 0  # numbers that the device says it no longer has

    def accept(self, boot: int, seq: int, prev: int) -> bool:
        """Note a number; False when it has come before."""
        if boot < self.floor:
            return False
        record = self.boots.get(boot)
        if record is None:
            record = self.boots[boot] = Boot()
        if not record.linked:
            record.linked = True
            self._close(boot - 1, prev)
        if seq > record.top:
            if seq > record.top + 1:
                record.gaps.append((record.top + 1, seq - 1))
            record.top = seq
        elif not _fill(record.gaps, seq):
            return False
        self.received += 1
        self._raise_floor()
        return True

    def give_up(self, boot: int, first: int, last: int) -> int:
        """The device no longer has these; returns how many of them were still missing."""
        record = self.boots.get(boot)
        if record is None:
            return 0
        lost = 0
        kept: list[Gap] = []
        for low, high in record.gaps:
            from_, to = max(low, first), min(high, last)
            if from_ > to:
                kept.append((low, high))
                continue
            lost += to - from_ + 1
            if low < from_:
                kept.append((low, from_ - 1))
            if to < high:
                kept.append((to + 1, high))
        record.gaps = kept
        self.dropped = min(self.dropped + lost, MOST)
        self._raise_floor()
        return lost

    def missing(self, limit: int) -> list[tuple[int, int, int]]:
        """(boot, first, last) of what has not come, newest boot first, `limit` ranges at most."""
        ranges = [(boot, low, high) for boot in sorted(self.boots, reverse=True) for low, high in self.boots[boot].gaps]
        return ranges[:limit]

    def missing_count(self) -> int:
        """How many numbers have not come."""
        return sum(high - low + 1 for record in self.boots.values() for low, high in record.gaps)

    def published(self) -> int:
        """How many numbers the device is known to have made: received, dropped or missing."""
        return self.received + self.dropped + self.missing_count()

    def _close(self, boot: int, last: int) -> None:
        """`last` is the final number of `boot` (0: there was no such boot)."""
        if boot < max(self.floor, 1) or last == 0:
            return
        record = self.boots.setdefault(boot, Boot())
        if last > record.top:
            record.gaps.append((record.top + 1, last))
            record.top = last
        record.closed = True

    def _raise_floor(self) -> None:
        """Forget the oldest boots while they are complete; the newest always stays."""
        while len(self.boots) > 1:
            oldest = min(self.boots)
            record = self.boots[oldest]
            if not record.closed or record.gaps:
                return
            del self.boots[oldest]
            self.floor = oldest + 1


def _fill(gaps: list[Gap], seq: int) -> bool:
    """Take `seq` out of `gaps`; False when it was in none."""
    for i, (low, high) in enumerate(gaps):
        if low <= seq <= high:
            gaps[i : i + 1] = [gap for gap in ((low, seq - 1), (seq + 1, high)) if gap[0] <= gap[1]]
            return True
    return False


class Numberings(Struct, array_like=True):
    """All numbering of one device: its newest epochs, oldest first."""

    epochs: list[Numbering] = field(default_factory=list)

    def have_gaps(self) -> bool:
        """Whether any number is known to be missing."""
        for numbering in self.epochs:
            for record in numbering.boots.values():
                if record.gaps:
                    return True
        return False

    def of(self, epoch: str) -> Numbering:
        """The numbering of `epoch`, made if it is new."""
        for numbering in self.epochs:
            if numbering.epoch == epoch:
                return numbering
        numbering = Numbering(epoch)
        self.epochs.append(numbering)
        if len(self.epochs) > EPOCHS_KEPT:
            # Its agent and outbox are gone, so what was missing stays missing: count it.
            gone = self.epochs.pop(0)
            last = self.epochs[0]
            last.dropped = min(last.dropped + gone.dropped + gone.missing_count(), MOST)
            last.received += gone.received
        return numbering
