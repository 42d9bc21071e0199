"""Whatever somebody types: no fix fails, none is undone or changed by being applied again."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st

from routing.core import normalise, phones, places
from routing.core.correct import corrections, fixers_for, normalised
from routing.core.filing import filed
from routing.core.keys import keys, wanted
from routing.core.person_names import family_name, person_name
from routing.core.recognise import recognise
from tests.unit.core.policy import account, lead, policy, view

POLICY = policy()
FIXERS = fixers_for("lead", POLICY)
NASTY = st.one_of(
    st.text(max_size=60),
    st.text(alphabet="aA@.:/<>+-() \u202e\u200d\x00ßİ’'é李0٣", max_size=40),
    st.sampled_from(
        [
            "http://",
            "//",
            "@",
            "xn--",
            "xn--a@b.c",
            "+",
            "(+",
            "00",
            "tel:+",
            "[::1]",
            ".",
            "a@xn--.com",
            "mc",
            "'",
            "-",
        ]
    ),
)


@settings(deadline=None, max_examples=300)
@given(NASTY)
@example("http://.\u3002./")
@example("ß")
def test_a_fix_applied_twice_is_the_fix_applied_once(text: str) -> None:
    for fix in (normalise.email, normalise.website, normalise.company_website, normalise.clean_text, places.country):
        once = fix(text)
        if once:
            assert fix(once) == once
    for name in (person_name, family_name):
        assert name(name(text)) == name(text)
    for country in ("", "US", "DE", "IT"):
        number = phones.phone(text, country)
        assert number is None or phones.phone(number, country) == number
        state = places.state(text, country)
        assert state is None or places.state(state, country) == state
    normalise.company_key(text)


@settings(deadline=None, max_examples=200)
@given(
    st.dictionaries(
        st.sampled_from(
            ["email", "first_name", "last_name", "company", "website", "phone", "country", "state", "owner"]
        ),
        st.one_of(
            NASTY, st.none(), st.integers(), st.booleans(), st.floats(allow_nan=False), st.lists(st.text(max_size=3))
        ),
    )
)
def test_any_values_of_a_lead_are_normalised_keyed_and_matched(values: dict[str, object]) -> None:
    record = lead(**values)
    normal = normalised(record.values, FIXERS)
    found = corrections(record.values, normal, FIXERS, None)
    assert all(one.old != one.new and one.new for one in found)
    again = {**record.values, **normal}
    # A country put right may let its state and telephone be read; a second round finds no more than that.
    assert normalised({**again, **normalised(again, FIXERS)}, FIXERS) == {}
    assert keys(record) <= wanted(record)
    assert len(filed(record).keys) < 20
    found = recognise(view(record, account("1", website="acme.com", name="Acme")), POLICY, lambda _: True)
    assert found.facts["band"] in ("match", "ask", "none")
