"""The boards, in the order in which people go through them. One file each, and one line here."""

from caretaker_dashboards.boards import caretaker, device, energy, estate, network, review, room, school, service

BOARDS = (
    estate.BOARD,
    school.BOARD,
    room.BOARD,
    device.BOARD,
    energy.BOARD,
    service.BOARD,
    network.BOARD,
    review.BOARD,
    caretaker.BOARD,
)
