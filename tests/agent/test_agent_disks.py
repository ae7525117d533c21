"""The disk probe over made-up mounts: which file systems count, and how full the fullest is."""

from pathlib import Path
from typing import NamedTuple

from caretaker_agent import probe
from caretaker_agent.platforms.disks import Disks

GIB = 1 << 30


class Space(NamedTuple):
    f_blocks: int
    f_bfree: int
    f_bavail: int
    f_frsize: int = 4096


def space(gib: float, used: float, for_root: float = 0.0) -> Space:
    blocks = int(gib * GIB / 4096)
    free = blocks - int(gib * used * GIB / 4096)
    return Space(blocks, free, free - int(gib * for_root * GIB / 4096))


def disks(tmp_path: Path, mounts: str, spaces: dict[str, Space]) -> Disks:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/mountinfo").write_text(mounts)
    return Disks(tmp_path, spaces.__getitem__)


def test_the_fullest_local_disk_counts(tmp_path: Path) -> None:
    mounts = "1 0 8:1 / / rw - ext4 /dev/a rw\n2 1 8:2 / /home rw,noatime shared:1 - xfs /dev/b rw\n"
    probe = disks(tmp_path, mounts, {"/": space(20, 0.4), "/home": space(100, 0.96)})
    assert abs(float(probe.gather() or 0) - 0.96) < 0.001


def test_what_only_root_may_use_counts_as_used_up(tmp_path: Path) -> None:
    found = disks(tmp_path, "1 0 8:1 / / rw - ext4 /dev/a rw\n", {"/": space(20, 0.9, for_root=0.05)}).gather()
    assert found is not None
    assert abs(float(found) - 0.9 / 0.95) < 0.001


def test_network_read_only_memory_and_small_ones_do_not_count(tmp_path: Path) -> None:
    mounts = (
        "1 0 8:1 / / rw - ext4 /dev/a rw\n"
        "2 1 0:9 / /home rw - nfs4 server:/home rw\n"
        "3 1 7:0 / /snap/x ro - squashfs /dev/loop0 ro\n"
        "4 1 0:5 / /run rw - tmpfs tmpfs rw\n"
        "5 1 8:3 / /mnt ro - ext4 /dev/c rw\n"
        "6 1 8:4 / /boot/efi rw - vfat /dev/d rw\n"
        "7 1 garbage\n"
    )
    small = space(0.2, 0.99)
    assert abs(float(disks(tmp_path, mounts, {"/": space(20, 0.3), "/boot/efi": small}).gather() or 0) - 0.3) < 0.001


def test_a_file_system_mounted_twice_is_asked_once_and_a_name_with_a_space_is_found(tmp_path: Path) -> None:
    mounts = "1 0 8:1 / /a\\040b rw - btrfs /dev/a rw\n2 1 8:1 /sub /a\\040b rw - btrfs /dev/a rw\n"
    asked: list[str] = []
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/mountinfo").write_text(mounts)

    def ask(place: str) -> Space:
        asked.append(place)
        return space(2, 0.5)

    assert Disks(tmp_path, ask).gather() == 0.5
    assert asked == ["/a b"]


def test_a_machine_without_a_disk_has_nothing_to_say(tmp_path: Path) -> None:
    assert disks(tmp_path, "1 0 0:5 / / rw - overlay overlay rw\n", {}).gather() is None


def test_a_disk_that_cannot_be_asked_is_unknown_and_says_so(tmp_path: Path) -> None:
    from caretaker_agent.meters import Reading

    broken = disks(tmp_path, "1 0 8:1 / / rw - ext4 /dev/a rw\n", {})
    look, complaints = probe.gather(Reading(1, 1), [broken], True)
    assert look.disk_ratio is None
    assert complaints == ["Disks: KeyError: '/'"]
