"""Texts on their way out: bounded, and without characters that another side might take for a command or a header."""

import hashlib
import unicodedata

TITLE_MAX = 200
BODY_MAX = 8_000
ANSWER_MAX = 300
_MORE = " ..."


def one_line(text: str, longest: int = TITLE_MAX) -> str:
    """One line: line breaks and control characters (also those that turn the reading direction) become a space.

    A subject with a line break would otherwise end the mail's headers and begin new ones.
    """
    flat = "".join(" " if _is_control(letter) else letter for letter in text)
    return shortened(" ".join(flat.split()), longest)


def lines(text: str, longest: int = BODY_MAX) -> str:
    """Several lines, without control characters but for the line breaks."""
    flat = text.replace("\r\n", "\n").replace("\r", "\n")
    return shortened("".join(letter if letter == "\n" or not _is_control(letter) else " " for letter in flat), longest)


def shortened(text: str, longest: int) -> str:
    """At most `longest` characters; dots at the end say that there was more."""
    return text if len(text) <= longest else text[: longest - len(_MORE)] + _MORE


def reference(uid: str) -> str:
    """Our name for an incident at somebody else's desk: one word that no search splits up ("ct3f9a2c71d0e8")."""
    return "ct" + hashlib.blake2b(uid.encode(), digest_size=6).hexdigest()


def _is_control(letter: str) -> bool:
    """Control characters, direction marks, line and paragraph separators, and lone halves of a pair."""
    return unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Zl", "Zp")
