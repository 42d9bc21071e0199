"""The policy as a playbook that a sales manager reads. Pure: the same policy and day make the same page, byte for byte."""

from __future__ import annotations

from collections.abc import Iterator

from rules.analysis.analyse import named
from rules.analysis.outline import tables
from rules.docs.ladder import LadderPages
from rules.docs.page import Anchors, Bullets, Code, Grid, Page, Paragraph, Part, Section, Strong, Words
from rules.docs.people import PeoplePages
from rules.ladders.durations import length_of
from rules.ladders.engagement import all_rungs
from rules.language.named import key_of
from rules.model import Bands
from rules.nouns import counted, many, system_name
from rules.policy import Policy
from rules.policy_tests.words import expected, given

_PUTS_RIGHT = {
    "email": "blanks, capitals and “mailto:” are taken out",
    "name": "ALL CAPITALS and all small letters become a name as it is written",
    "country": "becomes its code: “U.S.A.” is US",
    "state": "becomes its code: “Calif.” is CA",
    "phone": "is written as +49301234567",
    "website": "becomes the bare domain",
    "text": "blanks at the ends and unseen signs are taken out",
}


def playbook(policy: Policy, day: str = "") -> Page:
    """The whole page. ``day`` is shown as the day on which it was made; without it none is, so that two pages can be compared."""
    anchors = Anchors()
    ladder, people = LadderPages(policy, anchors), PeoplePages(policy, anchors)
    rungs = sum(len(list(all_rungs(one.rungs))) for one in policy.ladders.values())
    facts = [("rules of the ladder", rungs), ("rows of tables", sum(len(one.rows) for one in tables(policy).values()))]
    facts += [("pools", len(policy.pools)), ("people", len(policy.people))]
    facts += [("fields put right", len(policy.corrections)), ("examples checked", len(policy.tests))]
    made = f"Made on {day} from" if day else "Made from"
    *first, last = (many(routes) for routes in policy.ladders)
    kinds = f"{', '.join(first)} and {last}" if first else last
    return Page(
        title="Routing playbook",
        intro=(f"Who gets which {kinds}, in which order it is decided, and what is put right on the way.",),
        facts=tuple((what, f"{number:,}") for what, number in facts),
        sections=tuple(_sections(policy, anchors, ladder, people)),
        foot=f"{made} the policy with the digest {policy.digest[:12]}. A change belongs into the policy, not into this page.",
    )


def _sections(policy: Policy, anchors: Anchors, ladder: LadderPages, people: PeoplePages) -> Iterator[Section]:
    yield from ladder.entries()
    yield from ladder.ladders()
    if named(policy):
        yield _section(anchors, "Conditions with a name", (), tuple(_conditions(policy, anchors, ladder)))
    if tables(policy):
        yield _section(anchors, "Tables", (), tuple(ladder.tables()))
    if policy.pools:
        lead = (
            "A pool shares what it gets among its members. While the same people are there, nobody is ever a whole record ahead "
            "of or behind their share."
        )
        if policy.open_when is not None:
            lead = f"{lead} As open counts what somebody has while {policy.open_when.text}. What is closed ends its clocks."
        yield _section(anchors, "Pools", (Paragraph((lead,)),), tuple(people.pools()))
    if policy.clocks:
        lead = "A clock runs in business time. What is due along it happens even where the daemon was down: it is made up for in order."
        yield _section(anchors, "Clocks", (Paragraph((lead,)),), tuple(people.clocks()))
    if policy.queues:
        yield _section(anchors, "Queues", (ladder.queues(),))
    yield _section(anchors, "People", people.people())
    yield _section(anchors, "What waits", tuple(_waits(policy)))
    if policy.corrections:
        lead = "Before a record is routed these fields are put right. The old value and the reason are kept."
        yield _section(anchors, "Corrections", (Paragraph((lead,)), _corrections(policy)))
    yield _section(anchors, "How a record finds its account", tuple(_matching(policy)))
    if policy.tests:
        lead = "These examples are decided before a changed policy goes live. One that comes out differently keeps the old policy."
        yield _section(anchors, "Examples that are checked", (Paragraph((lead,)), _tests(policy)))
    yield _section(anchors, "Fields", (), tuple(_fields(policy, anchors)))


_BREAKS_TIES = {
    "customer": "a customer",
    "open opportunity": "one with an open opportunity",
    "same country": "one in the record's country",
    "parent": "the parent before its subsidiaries",
    "subsidiary": "a subsidiary before its parent",
    "most recent activity": "the one with the most recent activity",
    "oldest": "the oldest",
    "active owner": "one whose owner can receive records",
}


def _section(anchors: Anchors, title: str, parts: tuple[Part, ...], sections: tuple[Section, ...] = ()) -> Section:
    return Section(title, anchors.of("section", title), parts, sections)


def _conditions(policy: Policy, anchors: Anchors, ladder: LadderPages) -> Iterator[Section]:
    sentences = ladder.sentences(policy.routes)
    for name, tree in named(policy).items():
        definition = policy.conditions[key_of(name)]
        parts = [Paragraph((definition.description,))] if definition.description else []
        parts.append(Paragraph(("It holds when ", *sentences.say(tree), ".")))
        parts.append(Paragraph((Code(definition.text.text),)))
        yield Section(definition.name, anchors.of("condition", key_of(name)), tuple(parts))


def _waits(policy: Policy) -> Iterator[Part]:
    yield Paragraph(
        (f"A record that nobody can take now waits. It is tried again every {length_of(policy.hold_retry)}.",)
    )
    stops = ("hold", "reject", "holdout")
    found = [
        (rung.name, rung.action)
        for engagement in policy.ladders.values()
        for rung in all_rungs(engagement.rungs)
        if rung.action is not None
    ]
    found += [
        (f"{one.name} › {row.name or row.line}", row.action) for one in tables(policy).values() for row in one.rows
    ]
    rows = [((Strong(name),), (action.value,)) for name, action in found if action.kind in stops]
    if rows:
        yield Paragraph(("These wait, or are given to nobody, because a rule says so:",))
        yield Grid(("Rule", "Reason"), tuple(rows))


def _corrections(policy: Policy) -> Grid:
    rows: list[tuple[Words, ...]] = []
    for one in policy.corrections:
        field = policy.entities[one.entity].fields[one.field]
        written = "yes" if one.write else "no, only for the decision"
        rows.append(
            ((one.entity.capitalize(),), (Strong(field.label),), (_PUTS_RIGHT.get(one.fix, one.fix),), (written,))
        )
    return Grid(("Record", "Field", "What is done", "Written back"), tuple(rows))


def _matching(policy: Policy) -> Iterator[Part]:
    found = policy.matching
    yield Paragraph(
        (
            "What speaks for an account (name, domain, phone, address, relations, known contacts) is weighed into one probability. "
            f"From {_percent(found.bands.match)} on the record belongs to it; {_between(found.bands)}{_at_home(found.bands)}",
        )
    )
    if found.tie_breakers:
        words = ", then ".join(_BREAKS_TIES[one] for one in found.tie_breakers)
        yield Paragraph((f"Of several accounts that fit equally well one is taken by these, in this order: {words}.",))
    if found.duplicates is not None:
        told = (
            f"From {_percent(found.duplicates.match)} on two records count as one person; {_between(found.duplicates)}"
        )
        yield Paragraph((told,))
    if found.weights:
        yield Paragraph(("The weights were fitted to your own data: ", Code(found.weights), "."))
    lists = (
        ("Also taken for free-mail providers", found.free_domains),
        ("Also taken for providers of throw-away addresses", found.disposable_domains),
        ("Taken for the domain of a company", found.not_free_domains),
    )
    told_lists = [(f"{what}: {', '.join(sorted(domains))}.",) for what, domains in lists if domains]
    yield Paragraph(("Addresses of free-mail and throw-away providers say nothing of the company.",))
    if told_lists:
        yield Bullets(tuple(told_lists))


def _at_home(bands: Bands) -> str:
    asked = bands.ask < bands.match
    return " A person is also asked where the account has the record's very domain." if asked else ""


def _between(bands: Bands) -> str:
    if bands.ask >= bands.match:
        return "below, nothing is found."
    return f"from {_percent(bands.ask)} on a person is asked; below, nothing is found."


def _percent(share: float) -> str:
    return f"{share * 100:.6g} %"


def _tests(policy: Policy) -> Grid:
    rows = tuple(
        ((Strong(one.name),), (given(one.case, policy.people),), (expected(one, policy.people),))
        for one in policy.tests
    )
    return Grid(("Example", "Given", "Comes out as"), rows)


def _fields(policy: Policy, anchors: Anchors) -> Iterator[Section]:
    for entity in policy.entities.values():
        systems = list(entity.remote)
        rows: list[tuple[Words, ...]] = []
        for field in entity.fields.values():
            names: list[Words] = [(Code(field.remote[one]),) if one in field.remote else () for one in systems]
            about = [*([field.description] if field.description else []), *([] if field.remote else ["worked out"])]
            if field.choices:
                about.append(f"one of {', '.join(field.choices)}")
            rows.append(((Strong(field.label),), (Code(f"{entity.name}.{field.name}"),), ("; ".join(about),), *names))
        head = ("Field", "In rules", "What it is", *(f"In {system_name(one)}" for one in systems))
        lead = f"{counted(len(rows), 'field')} of the {entity.name}."
        parts: tuple[Part, ...] = (Paragraph((lead,)), Grid(head, tuple(rows)))
        yield Section(entity.name.capitalize(), anchors.of("fields", entity.name), parts)
