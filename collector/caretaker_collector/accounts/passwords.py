"""Passwords: kept as argon2id hashes, checked in as much time whether there is one or not; easy ones refused."""

import secrets
import unicodedata
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

TIME_COST, MEMORY_KIB, LANES = 3, 65_536, 1
"""RFC 9106 (2021), section 4, second recommended option: 3 passes over 64 MiB. It has 4 lanes; we take 1, so that a
check keeps one core busy (0.15 s, measured) and not four: the rules run beside it. A guess costs its maker as much."""

SHORTEST, LONGEST = 12, 256
"""Characters. Longer ones are refused, not cut; the work of a check hardly grows with them."""

# What people choose when 12 characters are asked for: in lower case, without spaces, and digits and signs at the ends.
_COMMON_TEXT: Final = """
password passwort passw0rd p@ssword p@ssw0rd passwordpassword letmein letmeinletmein letmeinplease welcome
welcomewelcome welcometoschool changeme changemeplease changemenow pleasechangeme iloveyou iloveyouiloveyou qwerty
qwertyuiop qwertyqwerty qwertyuiopasdf asdfghjkl zxcvbnm administrator admin adminadmin superuser monkey dragon
football liverpool arsenal chelsea manchester sunshine princess computer computers school schoolschool teacher
caretaker caretakercaretaker servicedesk helpdesk correcthorsebatterystaple thisismypassword mypassword ourpassword
secretsecret topsecret trustno1 trustnoone abcdefghijkl abcdefghijklm abcdefghijklmn abcabcabcabc temporary
defaultpassword newpassword oldpassword nopassword whatever whateverwhatever thequickbrownfox
"""
_COMMON: Final = frozenset(_COMMON_TEXT.split())


class Passwords:
    """Hashes and checks them. Each call takes its time and memory: make it in a thread, and few at once."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher(time_cost=TIME_COST, memory_cost=MEMORY_KIB, parallelism=LANES)
        self._nobody = self._hasher.hash(secrets.token_hex(16))

    def hash(self, password: str) -> str:
        """What is kept of it, with a salt of its own."""
        return self._hasher.hash(normal(password))

    def fits(self, kept: str | None, password: str) -> bool:
        """Whether it is the one. `kept` None, no such account or one without a password: the same work, for nothing."""
        try:
            right = self._hasher.verify(self._nobody if kept is None else kept, normal(password))
        except (VerificationError, InvalidHashError):
            return False
        return right and kept is not None

    def outdated(self, kept: str) -> bool:
        """Whether it was hashed with other parameters than today's."""
        return self._hasher.check_needs_rehash(kept)


def normal(password: str) -> str:
    """One spelling of what looks the same: keyboards differ in how they make an accented letter."""
    return unicodedata.normalize("NFKC", password)


def wrong_with(password: str, name: str) -> str:
    """Why a new password is not good enough, as a sentence; "" when it is.

    As NIST SP 800-63B has it: a length, a list of common ones and no rules of composition.
    """
    text = normal(password)
    if len(text) < SHORTEST:
        return (
            f"Use at least {SHORTEST} characters; three or four words that have nothing to do with each other are good."
        )
    if len(text) > LONGEST:
        return f"Use at most {LONGEST} characters."
    if any(unicodedata.category(character) == "Cc" for character in text):
        return "It holds a character that keyboards do not have, such as a line's end: leave that out."
    low = text.casefold()
    bare = low.replace(" ", "").replace("-", "").replace("_", "").strip("0123456789!?.,*#$£&@")
    if len(set(low)) < 5 or not bare or bare in _COMMON:
        return "That is one of the passwords that are tried first. Use three or four words of your own."
    plain_name = normal(name).casefold()
    if len(plain_name) >= 3 and plain_name in low and len(low.replace(plain_name, "")) < SHORTEST - 4:
        return "That is hardly more than your name. Use three or four words that have nothing to do with each other."
    return ""


def generated() -> str:
    """A password that is easy to type: 20 letters and digits in groups (about 99 bits); none is taken for another."""
    alphabet = "abcdefghjkmnpqrstuvwxyz23456789"
    return "-".join("".join(secrets.choice(alphabet) for _ in range(5)) for _ in range(4))
