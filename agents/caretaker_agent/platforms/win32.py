"""The calls into Windows behind platforms/windows.py, through ctypes. Not run on Windows so far; see there."""

import subprocess
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from caretaker_agent.platforms.windows import CpuTimes, Session

_SM_SHUTTINGDOWN = 0x2000
_WTS_USER_NAME = 5
_BOOT_KEY = r"SYSTEM\CurrentControlSet\Control\Session Manager\Memory Management\PrefetchParameters"


class Win32:
    """The real `Api`. Every call raises OSError when Windows refuses it."""

    def __init__(self) -> None:
        import ctypes

        self._c: Any = ctypes  # WinDLL and get_last_error exist only on Windows
        if not hasattr(ctypes, "WinDLL"):
            raise OSError("this is not Windows")
        load = self._c.WinDLL
        self._kernel: Any = load("kernel32", use_last_error=True)
        self._user: Any = load("user32", use_last_error=True)
        self._wts: Any = load("wtsapi32", use_last_error=True)
        self._power: Any = load("powrprof", use_last_error=True)
        self._kernel.GetTickCount.restype = ctypes.c_uint32
        self._kernel.GetTickCount64.restype = ctypes.c_uint64

    def tick_ms(self) -> int:
        """GetTickCount."""
        return int(self._kernel.GetTickCount())

    def last_input_tick_ms(self) -> int:
        """GetLastInputInfo: struct LASTINPUTINFO { UINT cbSize; DWORD dwTime; }."""
        info = (self._c.c_uint32 * 2)(8, 0)
        self._check(self._user.GetLastInputInfo(self._c.byref(info)))
        return int(info[1])

    def since_boot_ms(self) -> int:
        """GetTickCount64."""
        return int(self._kernel.GetTickCount64())

    def awake_100ns(self) -> int:
        """QueryUnbiasedInterruptTime."""
        value = self._c.c_uint64()
        self._check(self._kernel.QueryUnbiasedInterruptTime(self._c.byref(value)))
        return int(value.value)

    def boot_number(self) -> int:
        """BootId, which Windows counts up in the registry at every boot."""
        import importlib

        registry: Any = importlib.import_module("winreg")
        with registry.OpenKey(registry.HKEY_LOCAL_MACHINE, _BOOT_KEY) as key:
            return int(registry.QueryValueEx(key, "BootId")[0])

    def own_session(self) -> int:
        """ProcessIdToSessionId of this process."""
        session = self._c.c_uint32()
        own = self._kernel.GetCurrentProcessId()
        self._check(self._kernel.ProcessIdToSessionId(own, self._c.byref(session)))
        return int(session.value)

    def sessions(self) -> "list[Session]":
        """WTSEnumerateSessionsW; of the user name only whether there is one is looked at."""
        from caretaker_agent.platforms.windows import Session

        c = self._c

        class Info(c.Structure):  # type: ignore[misc, name-defined]  # a class of a module that is Any
            _fields_ = (("number", c.c_uint32), ("station", c.c_wchar_p), ("state", c.c_int))

        table, count = c.POINTER(Info)(), c.c_uint32()
        self._check(self._wts.WTSEnumerateSessionsW(None, 0, 1, c.byref(table), c.byref(count)))
        try:
            return [
                Session(int(table[index].number), int(table[index].state), self._person(int(table[index].number)))
                for index in range(count.value)
            ]
        finally:
            self._wts.WTSFreeMemory(table)

    def cpu_times(self) -> "CpuTimes":
        """GetSystemTimes: FILETIMEs, 64 bits each."""
        from caretaker_agent.platforms.windows import CpuTimes

        idle, kernel, user = (self._c.c_uint64() for _ in range(3))
        by = self._c.byref
        self._check(self._kernel.GetSystemTimes(by(idle), by(kernel), by(user)))
        return CpuTimes(int(idle.value), int(kernel.value) + int(user.value))

    def memory_ratio(self) -> float:
        """GlobalMemoryStatusEx: MEMORYSTATUSEX is 64 bytes, dwMemoryLoad (percent) its second DWORD."""
        status = (self._c.c_uint32 * 16)(64)
        self._check(self._kernel.GlobalMemoryStatusEx(self._c.byref(status)))
        return min(1.0, int(status[1]) / 100)

    def disk_ratio(self) -> float | None:
        """GetDiskFreeSpaceExW over the drives that GetDriveTypeW calls fixed (3); share that the caller cannot use."""
        ratios = []
        for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ":
            drive = self._c.c_wchar_p(f"{letter}:\\")
            if self._kernel.GetDriveTypeW(drive) != 3:
                continue
            free, total = self._c.c_uint64(), self._c.c_uint64()
            self._check(self._kernel.GetDiskFreeSpaceExW(drive, self._c.byref(free), self._c.byref(total), None))
            if total.value:
                ratios.append(1 - free.value / total.value)
        return max(ratios, default=None)

    def shutdown(self, arguments: list[str]) -> bool:
        """shutdown.exe, as a list of arguments."""
        try:
            return subprocess.run(["shutdown.exe", *arguments], timeout=10, check=False).returncode == 0
        except (OSError, subprocess.TimeoutExpired):
            return False

    def suspend(self) -> bool:
        """SetSuspendState(hibernate no, force no, wake events stay)."""
        return bool(self._power.SetSuspendState(0, 0, 0))

    def message(self, session: int, text: str, seconds: int) -> None:
        """WTSSendMessageW with an OK button (0) and a time-out, not waiting."""
        title, answer = "Caretaker", self._c.c_uint32()
        sizes = (len(title) * 2, len(text) * 2)
        by = self._c.byref
        self._check(
            self._wts.WTSSendMessageW(None, session, title, sizes[0], text, sizes[1], 0, seconds, by(answer), 0)
        )

    def shutting_down(self) -> bool:
        """GetSystemMetrics(SM_SHUTTINGDOWN)."""
        return bool(self._user.GetSystemMetrics(_SM_SHUTTINGDOWN))

    def _person(self, session: int) -> bool:
        text, size = self._c.c_wchar_p(), self._c.c_uint32()
        by = self._c.byref
        if not self._wts.WTSQuerySessionInformationW(None, session, _WTS_USER_NAME, by(text), by(size)):
            return False
        try:
            return bool(text.value)
        finally:
            self._wts.WTSFreeMemory(text)

    def _check(self, ok: int) -> None:
        if not ok:
            raise OSError(self._c.get_last_error(), "Windows refused a call")
