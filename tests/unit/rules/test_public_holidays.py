"""Public holidays, against days that are known; and moments as people write them."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

import rules
from rules.moments import at_the_latest, beginning, earliest, ending
from rules.public_holidays.holidays import easter, holidays, known, places


@pytest.mark.parametrize(
    ("place", "day", "name"),
    [
        ("DE", "2026-10-03", "German Unity Day"),
        ("DE-BY", "2026-06-04", "Corpus Christi"),
        ("DE-SN", "2026-11-18", "Repentance and Prayer Day"),
        ("AT", "2026-05-25", "Whit Monday"),
        ("CH-GE", "2026-12-31", "Restoration Day"),
        ("FR-57", "2026-04-03", "Good Friday"),
        ("GB", "2026-08-31", "Summer Bank Holiday"),
        ("GB", "2026-12-28", "Boxing Day (observed)"),  # the 26th is a Saturday
        ("GB", "2027-12-28", "Boxing Day (observed)"),  # both at a weekend: Monday is Christmas Day's
        ("GB-SCT", "2026-08-03", "Summer Bank Holiday"),
        ("IE", "2030-02-01", "St. Brigid's Day"),  # a Friday
        ("IE", "2026-02-02", "St. Brigid's Day"),
        ("NL", "2025-04-26", "King's Day"),  # the 27th is a Sunday
        ("SE", "2026-06-20", "Midsummer Day"),
        ("GR", "2026-04-10", "Good Friday"),
        ("US", "2026-11-26", "Thanksgiving Day"),
        ("US", "2026-07-03", "Independence Day (observed)"),  # the 4th is a Saturday
        ("US", "2021-12-31", "New Year's Day (observed)"),
        ("US-CA", "2026-11-27", "Day after Thanksgiving"),
        ("CA-ON", "2026-05-18", "Victoria Day"),
        ("AU-NSW", "2026-06-08", "King's Birthday"),
        ("ZA", "2026-08-10", "National Women's Day (observed)"),
        ("MX", "2026-03-16", "Benito Juárez's Birthday"),
    ],
)
def test_a_holiday_falls_on_its_day(place: str, day: str, name: str) -> None:
    when = date.fromisoformat(day)
    assert holidays(place, when.year)[when] == name


@pytest.mark.parametrize(
    ("place", "day"),
    [
        ("DE", "2026-06-04"),  # Corpus Christi is not kept in all of Germany
        ("DE-BE", "2018-03-08"),  # only since 2019
        ("DK", "2024-04-26"),  # abolished
        ("GB-SCT", "2026-04-06"),
        ("US-CA", "2026-10-12"),
        ("NL", "2025-04-27"),
        ("GB", "2026-12-29"),
    ],
)
def test_a_day_that_is_no_holiday_there_is_none(place: str, day: str) -> None:
    when = date.fromisoformat(day)
    assert when not in holidays(place, when.year)


def test_easter_is_when_the_churches_keep_it() -> None:
    assert [easter(year) for year in (2024, 2025, 2026, 2038, 1818)] == [
        date(2024, 3, 31), date(2025, 4, 20), date(2026, 4, 5), date(2038, 4, 25), date(1818, 3, 22),
    ]  # fmt: skip
    assert [easter(year, orthodox=True) for year in (2024, 2025, 2026)] == [
        date(2024, 5, 5), date(2025, 4, 20), date(2026, 4, 12),
    ]  # fmt: skip


def test_every_place_that_is_known_has_holidays_in_every_year() -> None:
    for place in places():
        assert known(place)
        for year in (1, 1999, 2026, 2027, 2028, 9999):
            days = holidays(place, year)
            assert all(day.year == year for day in days)
            assert len(days) >= 5 or year in (1, 9999)  # the ends of the calendar
            assert list(days) == sorted(days)


def test_the_readme_names_every_country() -> None:
    readme = Path(rules.__file__).with_name("README.md").read_text("utf-8")
    assert f"known of {', '.join(place for place in places() if '-' not in place)}," in readme


@pytest.mark.parametrize("place", ["XX", "DE-XX", "", "de", "DE-", "US-", "-"])
def test_a_place_that_is_not_known_is_said_to_be_unknown(place: str) -> None:
    assert not known(place)
    with pytest.raises(KeyError):
        holidays(place, 2026)


@pytest.mark.parametrize(
    ("text", "begins", "ends"),
    [
        ("2026-12-24", (date(2026, 12, 24), 0), (date(2026, 12, 24), 1440)),
        ("2026-12-24 am", (date(2026, 12, 24), 0), (date(2026, 12, 24), 720)),
        (" 2026-12-24  PM ", (date(2026, 12, 24), 720), (date(2026, 12, 24), 1440)),
        ("2026-12-24 9:05", (date(2026, 12, 24), 545), (date(2026, 12, 24), 545)),
        ("2026-12-24T13:30", (date(2026, 12, 24), 810), (date(2026, 12, 24), 810)),
        ("2028-02-29", (date(2028, 2, 29), 0), (date(2028, 2, 29), 1440)),
    ],
)
def test_a_moment_on_the_persons_own_clock(text: str, begins: tuple[date, int], ends: tuple[date, int]) -> None:
    assert (beginning(text), ending(text)) == (begins, ends)


def test_a_moment_with_an_offset_is_an_instant() -> None:
    instant = beginning("2026-12-24T13:30:00+05:45")
    assert isinstance(instant, datetime)
    assert instant == ending("2026-12-24T07:45:00Z")
    assert earliest(instant) == datetime(2026, 12, 24, 7, 45, tzinfo=UTC).replace(tzinfo=None)


@pytest.mark.parametrize(
    "text",
    ["", "soon", "24.12.2026", "2026-12-32", "2026-02-29", "2026-12-24 25:00", "2026-12-24 9", "2026-12-24T13:30:15"],
)
def test_what_is_no_moment_is_refused_in_words(text: str) -> None:
    with pytest.raises(ValueError, match="is no moment: write 2026-12-24, 2026-12-24 pm or 2026-12-24 13:30"):
        ending(text)


def test_a_day_is_over_everywhere_only_when_it_is_over_in_the_farthest_zone() -> None:
    assert at_the_latest(ending("2026-12-24")) == datetime(2026, 12, 25, 14, tzinfo=UTC)
