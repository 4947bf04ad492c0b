"""Slow, obvious twin of the kernels' grids: lines and windows on the clock of a time zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

STEP_MAX = 1 << 30
WEEK_US = 7 * 86_400_000_000
MONDAY_US = 4 * 86_400_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


class Zone:
    """Local time: microseconds since 1970-01-01T00:00 on the wall's clock."""

    def __init__(self, name: str | None) -> None:
        self.tz = ZoneInfo(name) if name else UTC

    def offset(self, time_us: int) -> int:
        local = (EPOCH + time_us * MICROSECOND).astimezone(self.tz)
        return local.utcoffset() // MICROSECOND

    def local(self, time_us: int) -> int:
        return time_us + self.offset(time_us)

    def moments(self, local_us: int) -> list[int]:
        """Return when the clock shows `local_us`; if it never does, when it jumps over it."""
        wall = EPOCH.replace(tzinfo=None) + local_us * MICROSECOND
        offsets = [
            wall.replace(fold=fold, tzinfo=self.tz).utcoffset() // MICROSECOND for fold in (0, 1)
        ]
        shown = sorted({local_us - o for o in offsets if self.offset(local_us - o) == o})
        return shown or [self.jump(local_us - max(offsets), local_us - min(offsets))]

    def utc(self, local_us: int, like_us: int) -> int:
        """Return when the clock shows `local_us`: with the offset at `like_us`, else the first."""
        moments = self.moments(local_us)
        return next((m for m in moments if local_us - m == self.offset(like_us)), moments[0])

    def jump(self, before_us: int, after_us: int) -> int:
        """Return the first time with the offset that holds at `after_us`."""
        while after_us - before_us > 1:
            middle = (before_us + after_us) // 2
            if self.offset(middle) == self.offset(before_us):
                before_us = middle
            else:
                after_us = middle
        return after_us


class Lines:
    """The lines of a grid, equally far apart on the wall's clock or by the calendar.

    interval : microseconds, or months where `calendar`
    """

    def __init__(self, interval: int, calendar: bool, zone: Zone) -> None:
        self.interval, self.calendar, self.zone = interval, calendar, zone
        self.origin = MONDAY_US if not calendar and interval % WEEK_US == 0 else 0

    def number(self, local_us: int) -> int:
        """Return the number of the newest line, since 1970."""
        if self.calendar:
            return month(local_us) // self.interval
        return (local_us - self.origin) // self.interval

    def at(self, number: int) -> int:
        """Return a line's local time."""
        if self.calendar:
            years, months = divmod(number * self.interval, 12)
            return (datetime(1970 + years, 1 + months, 1, tzinfo=UTC) - EPOCH) // MICROSECOND
        return number * self.interval + self.origin

    def window(self, time_us: int) -> tuple[int, int]:
        """Return start and end of the window that the time is in."""
        number = self.number(self.zone.local(time_us))
        start_us, end_us = (self.zone.utc(self.at(number + k), time_us) for k in (0, 1))
        if self.zone.offset(time_us) != self.zone.offset(end_us - 1):
            change_us = self.zone.jump(time_us, end_us - 1)
            again = self.at(self.number(self.zone.local(change_us)))
            if self.zone.utc(again, change_us) != start_us:
                end_us = change_us  # where clocks go back: the line comes twice
        return start_us, end_us

    def snap(self, time_us: int) -> tuple[int, int]:
        """Return when the clock shows a line next, before or after, and how far that is."""
        number = self.number(self.zone.local(time_us))
        lines = [self.at(number + k) for k in (-1, 0, 1, 2)]
        nearest = min(
            (moment for line in lines for moment in self.zone.moments(line)),
            key=lambda moment: (abs(moment - time_us), moment),
        )
        return nearest, abs(nearest - time_us)

    def between(self, since_us: int, time_us: int) -> int:
        """Return how many steps lie between two times."""
        since, local = self.zone.local(since_us), self.zone.local(time_us)
        if self.calendar:
            return (month(local) - month(since) + self.interval // 2) // self.interval
        return (local - since + self.interval // 2) // self.interval

    def steps(self, since_us: int, time_us: int) -> int:
        """Return the steps from one time to a later one; below 1 only where clocks go back."""
        if self.calendar:
            return max(self.between(since_us, time_us), 1)
        interval = self.interval
        steps = min(max((time_us - since_us + interval // 2) // interval, 1), STEP_MAX)
        # Clocks that move by less than an interval leave the slots where they are.
        since_ahead, ahead = (self.zone.offset(at_us) // interval for at_us in (since_us, time_us))
        return steps + ahead - since_ahead


def month(local_us: int) -> int:
    """Return the month a time is in, since 1970."""
    wall = EPOCH + local_us * MICROSECOND
    return (wall.year - 1970) * 12 + wall.month - 1
