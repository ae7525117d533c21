"""Secrets stand in files of their own, so that settings can be shown around."""

from pathlib import Path

from caretaker_contract.errors import ConfigError


def first_line(whose: str, key: str, path: str) -> str:
    """The first line of a file. ConfigError names whose it is, and never shows what is in it."""
    try:
        text = Path(path).read_text(encoding="utf-8").partition("\n")[0].strip()
    except OSError as error:
        raise ConfigError([f"{whose}  {key}: {path} cannot be read: {error.strerror}"]) from None
    except UnicodeDecodeError:
        text = ""
    if not text or not text.isprintable():
        raise ConfigError([f"{whose}  {key}: {path} has no text in its first line"])
    return text
