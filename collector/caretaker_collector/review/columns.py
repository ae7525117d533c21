"""Tables that are the same for one school and for several."""

import msgspec

from caretaker_collector.review.inputs import Inputs
from caretaker_dashboards.review.pack import Table

SCHOOL = "school"


def told_apart(inputs: Inputs, table: Table) -> Table:
    """The table without its column "school" where the review is of one: each line would say the same."""
    if inputs.one is None or all(column.key != SCHOOL for column in table.columns):
        return table
    at = next(number for number, column in enumerate(table.columns) if column.key == SCHOOL)
    return msgspec.structs.replace(
        table,
        columns=[*table.columns[:at], *table.columns[at + 1 :]],
        rows=[[*row[:at], *row[at + 1 :]] for row in table.rows],
    )
