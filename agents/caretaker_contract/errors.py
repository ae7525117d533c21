"""Errors, named by what the caller does next.

CaretakerError
├── ConfigError       stop: a person has to mend a file first
├── Unavailable       retry: a server, disk or bus did not answer; nothing was lost
├── Rejected          put aside: the other side read it and will never take it
└── ContractError     drop and count: a message that no version of the contract allows
    └── CommandError  a command that must not run (signature, target, time, repeated)
"""


class CaretakerError(Exception):
    """Base of every error that Caretaker raises on purpose."""


class ConfigError(CaretakerError):
    """A settings file that cannot be used. `faults` holds one line per mistake, each with place and remedy."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class Unavailable(CaretakerError):
    """A server, disk or bus did not answer in time. Nothing is lost; try again later."""


class Rejected(CaretakerError):
    """The other side understood and refused for good; repeating the same request cannot help."""


class ContractError(CaretakerError):
    """A message that breaks the contract. `field` is its path (such as `meters.idle_s`), "" for the whole."""

    def __init__(self, reason: str, field: str = "") -> None:
        super().__init__(f"{field}: {reason}" if field else reason)
        self.reason = reason
        self.field = field


class CommandError(ContractError):
    """A command that must not run. `refusal` is one of messages.RefusalReason's values."""

    def __init__(self, refusal: str, reason: str) -> None:
        super().__init__(reason)
        self.refusal = refusal
