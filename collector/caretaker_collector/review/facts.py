"""The figures of a pack as they are gathered: each once, under its key; sentences may only speak of those."""

import re
from typing import Literal

from caretaker_dashboards.review.pack import Fact, Sentence, Unit, Value

_BRACES = re.compile(r"\{([^{}]*)\}")


class Facts:
    """All facts of a pack by key, in the order in which they came."""

    def __init__(self) -> None:
        self.known: dict[str, Fact] = {}
        self.definitions: dict[str, str] = {}

    def define(self, word: str, meaning: str) -> None:
        """Say what a word of a page means; the page of how figures are made lists it."""
        self.definitions[word] = meaning

    def __contains__(self, key: str) -> bool:
        return key in self.known

    def add(
        self,
        key: str,
        title: str,
        unit: Unit,
        value: Value,
        *,
        low: float | None = None,
        high: float | None = None,
        why_not: str = "",
        source: str = "",
        command: str = "",
    ) -> str:
        """Add a figure; returns its key. ValueError when the key is taken, or a figure that is not there has no reason.

        What people wrote (titles of rooms, reasons) gets into a sentence as a fact only: there it is never read as
        braces.
        """
        if key in self.known:
            raise ValueError(f"two facts are called {key}")
        if value is None and not why_not:
            raise ValueError(f"{key} is not known, and nobody says why")
        self.known[key] = Fact(
            key=key,
            title=title,
            unit=unit,
            value=value,
            low=low,
            high=high,
            why_not="" if value is not None else why_not,
            source=source,
            command=command,
        )
        return key

    def text(self, key: str, title: str, words: str) -> str:
        """Add words that people wrote, or that are put together of such; returns the key."""
        return self.add(key, title, Unit.TEXT, words)

    def value(self, key: str) -> Value:
        """The value of a fact; None also when there is none of that key."""
        fact = self.known.get(key)
        return None if fact is None else fact.value

    def say(self, text: str, tone: Literal["plain", "good", "bad", "note"] = "plain") -> Sentence:
        """A sentence. ValueError when it speaks of a fact that is not there."""
        unknown = [key for key in _BRACES.findall(text) if key not in self.known]
        left = _BRACES.sub("", text)
        if unknown or "{" in left or "}" in left:
            raise ValueError(f"the sentence {text!r} speaks of what is not known: {', '.join(unknown) or 'a brace'}")
        return Sentence(text=text, tone=tone)


def keys_of(sentence: Sentence) -> list[str]:
    """The facts that a sentence speaks of."""
    return _BRACES.findall(sentence.text)


def cut_percent(ratio: float | None) -> float | None:
    """A ratio as percent with two decimals, cut and not rounded, as `caretaker sla` shows it: nothing looks like a
    target that it misses."""
    return None if ratio is None else int(ratio * 10_000 + 1e-6) / 100
