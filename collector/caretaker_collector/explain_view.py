"""What a policy has to say about a machine, as people read it."""

from zoneinfo import ZoneInfo

from caretaker_rules.calendar import local
from caretaker_rules.explain import Explained


def render(answer: Explained, time_zone: str) -> str:
    """The rule that decides, then the others and why not; what keeps the machine on anyway; limits."""
    when = local(answer.at_ms, ZoneInfo(time_zone))
    lines = [f"{answer.device} · room {answer.room} · {when:%a %d %b %Y %H:%M} · {answer.policy} ({answer.version})"]
    for rule in answer.rules:
        lines.append(f"{'->' if rule.decides else '  '} {answer.policy}:{rule.line}  {rule.rule}: {rule.does}")
        lines += [f"     not now: {reason}" for reason in rule.because]
    if not answer.rules:
        lines.append("   the policy has no rules")
    elif not any(rule.decides for rule in answer.rules):
        lines.append("   no rule decides, so nothing happens")
    if answer.keeps_on:
        lines.append("kept on, whatever it does")
        lines += [f"     {reason}" for reason in answer.keeps_on]
    sends = "" if answer.acts else ": decides and records, sends nothing to this room"
    lines.append(f"mode    {answer.mode}{sends}")
    lines.append("limits  " + "\n        ".join(answer.limits))
    return "\n".join(lines)
