"""Dates, times and durations as text: ISO 8601, and RFC 9557 for time zones."""

import re
from datetime import datetime, time, timedelta, timezone
from zoneinfo import ZoneInfo

_MICROSECOND = timedelta(microseconds=1)
# ISO 8601-1:2019, 5.5.2, without weeks, months and years, and with a sign as in ISO 8601-2.
_DURATION = re.compile(
    r"(-)?P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)(?:\.(\d{1,6}))?S)?)?", re.ASCII
)
# RFC 9557, 4.1, with a key of our own where the offset does not show the fold.
_MOMENT = re.compile(r"([^\[]*)(?:\[!?([\w.+/-]+)\])?(?:\[_fold=([01])\])?", re.ASCII)
# ZoneInfo raises these, among others for a folder of the database.
_UNKNOWN_ZONE = (ValueError, LookupError, OSError)


def from_duration(text: str) -> timedelta:
    """Return the duration of a text; raise ValueError for any other text."""
    match = _DURATION.fullmatch(text)
    if match is None or text[-1] in "PT":
        raise ValueError("a duration is written as PT90.5S")
    sign, days, hours, minutes, seconds, fraction = match.groups()
    whole = [int(number or 0) for number in (days, hours, minutes, seconds)]
    microseconds = int((fraction or "").ljust(6, "0"))
    duration = timedelta(whole[0], whole[3], microseconds, 0, whole[2], whole[1])
    return -duration if sign else duration


def to_duration(duration: timedelta) -> str:
    """Return a duration as text."""
    seconds, microseconds = divmod(abs(duration // _MICROSECOND), 1_000_000)
    fraction = f".{microseconds:06}".rstrip("0").rstrip(".")
    return f"{'-' * (duration.days < 0)}PT{seconds}{fraction}S"


def has_known_zone(moment: datetime | time) -> bool:
    """Return whether the time zone of a moment, if it has one, can be found by its text."""
    zone = moment.tzinfo
    if isinstance(zone, ZoneInfo):
        try:
            return bool(zone.key and ZoneInfo(zone.key))
        except _UNKNOWN_ZONE:  # it was read from a file
            return False
    return zone is None or isinstance(zone, timezone)


def to_moment(moment: datetime | time) -> str:
    """Return a datetime or time as text: `2026-05-17T08:00:00+02:00[Europe/Berlin]`."""
    zone = moment.tzinfo.key if isinstance(moment.tzinfo, ZoneInfo) else None
    text = moment.isoformat() + (f"[{zone}]" if zone else "")
    if not moment.fold:
        return text
    read = from_moment(text) if isinstance(moment, datetime) else from_time(text)
    return text if read.fold else f"{text}[_fold=1]"


def from_moment(text: str) -> datetime:
    """Return the datetime of a text.

    If the rules of the zone have changed since, the local time counts, and not the offset.

    Raises:
        ValueError: The text has another form.
        LookupError: There is no such zone, or the time zone database is not installed.
        OSError: The name of the zone is that of a folder of the database.
    """
    written, zone, fold = _split(text)
    moment = datetime.fromisoformat(written)
    if zone is None:
        return moment.replace(fold=fold or 0)
    if written.endswith(("Z", "z")):  # the offset is not known
        return moment.astimezone(zone)
    offset, moment = moment.utcoffset(), moment.replace(tzinfo=zone)
    later = moment.replace(fold=1)
    if fold is None:
        fold = int(moment.utcoffset() != offset == later.utcoffset())
    return later if fold else moment


def from_time(text: str) -> time:
    """Return the time of a text; raises as `from_moment()` does."""
    written, zone, fold = _split(text)
    moment = time.fromisoformat(written)
    return moment.replace(tzinfo=zone or moment.tzinfo, fold=fold or 0)


def _split(text: str) -> tuple[str, ZoneInfo | None, int | None]:
    match = _MOMENT.fullmatch(text)
    if match is None:
        raise ValueError("a time zone is written as [Europe/Berlin]")
    written, zone, fold = match.groups()
    return written, ZoneInfo(zone) if zone else None, None if fold is None else int(fold)
