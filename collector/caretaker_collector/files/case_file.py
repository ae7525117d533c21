"""Reads a file of cases and runs it: `caretaker policy test`."""

from pathlib import Path

from caretaker_collector.files.faults import found_at, stop_at
from caretaker_collector.files.kinds import KINDS
from caretaker_collector.files.toml_file import convert, open_toml
from caretaker_collector.settings import load_policy
from caretaker_rules.cases import Answer, CaseFile, run_case


def run_file(path: Path) -> list[Answer]:
    """One answer for each expectation, in the order of the file. ConfigError with every fault of file and policy."""
    file = open_toml(path)
    written = convert(file, CaseFile, KINDS)
    stop_at(file.faults)
    assert written is not None
    policy_path = path.parent / written.policy
    if not policy_path.is_file():
        file.fault(("policy",), f"no such file{found_at(policy_path, written.policy)}", written.policy)
        stop_at(file.faults)
    policy = load_policy(policy_path)
    answers: list[Answer] = []
    for number, case in enumerate(written.cases):
        try:
            answers += run_case(case, policy, written.mode)
        except (ValueError, KeyError) as error:  # KeyError: a time zone that does not exist
            file.fault(("cases", number, "day"), str(error))
    stop_at(file.faults)
    return answers


def render(answers: list[Answer]) -> str:
    """A line for each expectation, and for one that failed what was decided instead, and why."""
    lines = []
    for answer in answers:
        expected, decision = answer.expected, answer.decision
        verdict = decision.verdict.value.replace("_", " ")
        lines.append(f"{'ok  ' if answer.passed else 'FAIL'}  {expected.at:>8}  {verdict:<9}  {answer.case}")
        if not answer.passed:
            lines += [f"        {wrong}" for wrong in answer.wrong]
            rule = f"by rule {decision.rule} ({decision.policy_file}:{decision.rule_line})" if decision.rule else ""
            lines.append(f"        decided: {verdict} {rule}".rstrip())
            lines += [f"          {reason}" for reason in decision.reasons]
    return "\n".join(lines)
