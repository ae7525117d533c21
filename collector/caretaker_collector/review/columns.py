"""Tables that are the same for one school and for several."""

import msgspec

from caretaker_collector.review.inputs import Inputs
from caretaker_dashboards.review.pack import Table

SCHOOL = "school"


def told_apart(inputs: Inputs, table: Table) -> Table:
    """The table without its column "school" where the review is of one: each line would say the same.

    A single line that is left needs no total.
    """
    if inputs.one is None or all(column.key != SCHOOL for column in table.columns):
        return table
    at = next(number for number, column in enumerate(table.columns) if column.key == SCHOOL)
    columns = [*table.columns[:at], *table.columns[at + 1 :]]
    if len(table.rows) == 1:
        columns = [msgspec.structs.replace(column, total="") for column in columns]
    return msgspec.structs.replace(
        table,
        columns=columns,
        rows=[[*row[:at], *row[at + 1 :]] for row in table.rows],
    )
