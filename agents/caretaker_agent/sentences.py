"""All that a warning can say: nothing that came over the wire is ever shown."""

from caretaker_contract.messages import Verb, WarnText

_WHY = {
    WarnText.AFTER_HOURS: "It is after hours and nobody seems to be using this computer.",
    WarnText.BREAK_TIME: "Nobody seems to be using this computer.",
    WarnText.MAINTENANCE: "This computer is due for maintenance.",
    WarnText.ENGINEER: "The service desk has work to do on this computer.",
}
_WHAT = {
    Verb.SHUT_DOWN: "It will shut down in {time}. Press a key or move the mouse to keep it on.",
    Verb.SLEEP: "It will go to sleep in {time}. Press a key or move the mouse to keep it awake.",
    Verb.RESTART: "It will restart in {time}. Press a key or move the mouse to keep it on.",
}


def sentence(text: WarnText, verb: Verb | None, seconds: int) -> str:
    """What to show; `verb` None means that nothing is going to be switched."""
    time = f"{seconds // 60} minutes" if seconds >= 120 and not seconds % 60 else f"{seconds} seconds"
    what = _WHAT[verb].format(time=time) if verb in _WHAT else "Please save your work."
    return f"{_WHY[text]} {what}"
