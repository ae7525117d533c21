"""decode: bytes to messages. What cannot be read is put aside with its reason and can stop nobody (invariant I3)."""

from caretaker_collector.journal import Record
from caretaker_collector.pipeline import Batch, Received
from caretaker_contract.errors import ContractError
from caretaker_contract.messages import Message, decode
from caretaker_contract.topics import Address, Kind, parse


def decoded(record: Record) -> tuple[Address, Kind, Message]:
    """Topic and payload of a record as a message; ContractError when it breaks the contract. Read once per record."""
    found = record.decoded
    if found is None:
        try:
            address, kind = parse(record.topic)
            found = address, kind, decode(kind, record.payload)
        except ContractError as error:
            found = ContractError(error.reason, error.field)
        record.decoded = found
    if isinstance(found, ContractError):
        # A fresh one: an error that is raised keeps its frames alive, and with them the whole batch.
        raise ContractError(found.reason, found.field)
    return found


class Decode:
    """The first stage behind the journal."""

    async def run(self, batch: Batch) -> None:
        """Fill `messages`, and `quarantined` with what is none."""
        for record in batch.records:
            if not record.payload:
                continue  # an empty retained message is how a topic is cleared: nothing was said
            try:
                address, _, message = decoded(record)
            except ContractError as error:
                batch.quarantined.append((record, error))
            else:
                batch.messages.append(Received(address, message, record.received_ms))
        batch.counts["received"] += len(batch.records)
        batch.counts["quarantined"] += len(batch.quarantined)
