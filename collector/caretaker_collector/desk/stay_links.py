"""The links of rooms, as the desk shows them to print. See desk/stay_page.py of the dashboards."""

from caretaker_collector import stays
from caretaker_collector.api.stay_pages import stay_words
from caretaker_collector.desk.sources import Sources
from caretaker_collector.files.desk_table import address_of
from caretaker_dashboards.desk.stay_page import StayLink
from caretaker_rules.durations import parse_duration
from caretaker_rules.roles import Who


class RoomLinks:
    """The adapter of `StayLinks`."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    async def stay_link(self, who: Who, school: str, room: str) -> StayLink:
        """See `StayLinks`."""
        known, _ = self._sources.room_for(who, school, room)
        settings = self._sources.collector.settings
        token = await self._sources.read(lambda db: stays.known_link(db, school, room))
        return StayLink(
            school=school,
            school_title=known.title,
            room=room,
            title=self._sources.room_title(school, room),
            link=f"{address_of(settings)}/stay/{token}" if token else "",
            stay=stay_words(parse_duration(settings.http.stay_for) * 1000),
            works=settings.http.stay_links,
        )
