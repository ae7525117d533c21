"""All actions by name. A new one stands in the `ACTIONS` of a file here, and the desk, the API and its description
have it."""

from caretaker_collector.acts import holds, incidents, orders, switches
from caretaker_collector.acts.base import Action

ACTIONS: dict[str, Action] = {
    action.name: action for group in (incidents, holds, orders, switches) for action in group.ACTIONS
}
