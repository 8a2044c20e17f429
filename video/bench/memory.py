"""Resident memory of this process, from /proc."""

from pathlib import Path

STATUS = Path("/proc/self/status")


def restart_peak() -> float:
    """Forget the highest resident memory so far; return the present one in MB."""
    Path("/proc/self/clear_refs").write_text("5")
    return _value("VmRSS")


def peak_mb() -> float:
    """Return the highest resident memory since restart_peak, in MB."""
    return _value("VmHWM")


def resident_mb() -> float:
    """Return the present resident memory in MB."""
    return _value("VmRSS")


def open_handles() -> int:
    """Return how many file descriptors are open."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def _value(name: str) -> float:
    for line in STATUS.read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) / 1024
    raise ValueError(f"{STATUS}: no line {name}")
