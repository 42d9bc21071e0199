"""``fingerpost policy docs``: the policy as a playbook, in Markdown and HTML."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from typer.testing import CliRunner

from routing.cli.policy import app
from rules.analysis.outline import tables
from rules.docs.html import html
from rules.docs.markdown import markdown
from rules.docs.page import Anchors, Page
from rules.docs.playbook import playbook
from rules.ladders.engagement import all_rungs
from rules.policy import Policy, compile_policy
from tests.unit.rules.samples import EXAMPLE, FIELDS, policy_files, shared_example

VOID = {"meta", "br", "hr", "link", "img", "input"}
HOSTILE = "<script>alert(1)</script> ![x](javascript:alert(2)) | **b** `c` </style></td> &amp; \"onclick='x' \u202e # h"


class Reader(HTMLParser):
    """What a browser sees: the text, the tags with their attributes, ids and links; and whether all tags close."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.ids += [value or "" for name, value in attrs if name == "id"]
        self.links += [value or "" for name, value in attrs if name == "href"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert tag in VOID or self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


def rendered(text: str) -> Reader:
    """Markdown as a browser would show it; its own HTML is let through."""
    return Reader(MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(text))


@cache
def example() -> Policy:
    return compile_policy(shared_example())


@pytest.fixture(params=["html", "markdown"])
def reader(request: pytest.FixtureRequest) -> Reader:
    page = playbook(example())
    return Reader(html(page)) if request.param == "html" else rendered(markdown(page))


def test_everything_of_the_example_is_in_it(reader: Reader) -> None:
    policy = example()
    wanted = [rung.name for one in policy.ladders.values() for rung in all_rungs(one.rungs)]
    wanted += [*policy.pools, *(person.name for person in policy.people.values())]
    wanted += [row.name for row in tables(policy)["territories.csv"].rows]
    wanted += [row.note for row in tables(policy)["territories.csv"].rows]
    wanted += [policy.entities[one.entity].fields[one.field].label for one in policy.corrections]
    wanted += [test.name for test in policy.tests]
    assert [one for one in wanted if one not in reader.text] == []


def test_conditions_are_told_in_words_and_as_written(reader: Reader) -> None:
    for told in (
        "When the account's type is “Customer”",
        "the account's open opportunities are more than 0",
        "the lead's last activity is within 30 days of today and the lead's owner can receive leads now",
        "lead.last_touch within 30 days and lead.owner is active",
        "The lead was created or restored.",
        "When it comes from HubSpot",
        "Goes to somebody of the pool Marketing desk",
    ):
        assert told in reader.text


def test_every_link_leads_to_a_place_of_the_page(reader: Reader) -> None:
    assert len(reader.ids) == len(set(reader.ids))
    assert {link.removeprefix("#") for link in reader.links} <= set(reader.ids)
    assert all(link.startswith("#") for link in reader.links)
    assert len(reader.links) > 40


def test_a_long_table_is_counted_and_its_first_rows_shown(reader: Reader) -> None:
    assert "60 rows; the first 15 are shown" in reader.text
    assert "Acme Robotics Inc." in reader.text
    assert "Verdant Grocers" not in reader.text
    assert "Lukas Brandt 9" in reader.text


def test_shares_of_a_pool(reader: Reader) -> None:
    assert "67 % (weight 2)" in reader.text
    assert "Gets what comes by: Otherwise; overflow of LATAM." in reader.text


def test_the_same_policy_makes_the_same_bytes_and_shows_no_day_unless_told() -> None:
    other = compile_policy(dict(reversed(shared_example().items())))
    assert html(playbook(example())) == html(playbook(other))
    assert markdown(playbook(example())) == markdown(playbook(other))
    assert example().digest[:12] in html(playbook(other))
    assert "Made on 2026-11-22 from" in html(playbook(example(), "2026-11-22"))


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def hostile() -> Policy:
    """Every name and text that a policy may choose freely is an attack."""
    cell = '"' + HOSTILE.replace('"', '""') + '"'
    fields = FIELDS.replace("label: Company", f"label: {quoted(HOSTILE)}, description: {quoted(HOSTILE)}")
    engagement = f"""
entry: ['lead.company = "</li><script>" or event.kind = "created"']
queues: {{{quoted(HOSTILE)}: {{salesforce: {quoted(HOSTILE)}}}}}
ladder:
  - rung: {quoted(HOSTILE)}
    when: {quoted('lead.company contains "<img src=x onerror=y>|"')}
    assign: {quoted("pool " + " ".join(HOSTILE.split()))}
    task: {quoted(HOSTILE)}
  - rung: "1. <b>"
    when: Bad_one
    hold: {quoted(HOSTILE)}
  - rung: "- [x](http://evil.example)"
    lookup: table.csv
  - otherwise: {quoted("reject " + HOSTILE)}
"""
    return compile_policy(
        policy_files(
            fields=fields,
            engagement=engagement,
            conditions=f"Bad one: {{when: lead.country is blank, description: {quoted(HOSTILE)}}}\n",
            pools=f"{quoted(' '.join(HOSTILE.split()))}: {{members: [ana.diaz@example.com]}}\n",
            people=f"name,email,role\n{cell},ana.diaz@example.com,{cell}\n",
            table=f"name,company,assign,note\n{cell},<b>|`,ana.diaz@example.com,{cell}\n",
            tests=f"tests:\n  - test: {quoted(HOSTILE)}\n    lead: {{company: {quoted(HOSTILE)}, country: DE}}\n"
            "    expect: {outcome: assign}\n",
        )
    )


@pytest.mark.parametrize("form", ["html", "markdown"])
def test_hostile_names_stay_text(form: str) -> None:
    page, harmless = playbook(hostile()), playbook(example())
    show = (lambda one: Reader(html(one))) if form == "html" else (lambda one: rendered(markdown(one)))
    reader, usual = show(page), show(harmless)
    assert set(reader.tags) - set(usual.tags) <= {"h3", "ul", "p"}
    assert reader.attributes <= usual.attributes
    assert all(link.startswith("#") for link in reader.links)
    assert reader.tags.count("style") == usual.tags.count("style")
    assert "script" not in reader.tags
    assert "\u202e" not in reader.text
    shown = " ".join(HOSTILE.replace("\u202e", "\ufffd").split())
    assert reader.text.count(shown) >= 12
    assert "<img src=x onerror=y>|" in reader.text
    assert "- [x](http://evil.example)" in reader.text
    assert "1. <b>" in reader.text


def test_anchors_are_plain_and_each_thing_has_its_own() -> None:
    anchors = Anchors()
    found = [anchors.of("pool", name) for name in ("A b", "A-B", "Ä", "Ö", '"><script>', "x" * 500)]
    assert found[:4] == ["pool-a-b", "pool-a-b-2", "pool", "pool-2"]
    assert len(set(found)) == len(found)
    assert all(len(one) < 80 and one.replace("-", "").isalnum() for one in found)
    assert anchors.of("pool", "A-B") == "pool-a-b-2"


def test_the_command_writes_a_file_a_folder_or_to_the_screen(tmp_path: Path) -> None:
    shown = CliRunner().invoke(app, ["docs", str(EXAMPLE)])
    assert (shown.exit_code, shown.stdout) == (0, markdown(playbook(example())))
    CliRunner().invoke(app, ["docs", str(EXAMPLE), "--out", str(tmp_path / "new" / "book.html")])
    assert (tmp_path / "new" / "book.html").read_text("utf-8") == html(playbook(example()))
    assert CliRunner().invoke(app, ["docs", str(EXAMPLE), "--out", str(tmp_path / "both")]).exit_code == 0
    assert {path.name for path in (tmp_path / "both").iterdir()} == {"playbook.md", "playbook.html"}
    refused = CliRunner().invoke(app, ["docs", str(EXAMPLE), "--out", str(tmp_path / "both" / "playbook.md" / "x")])
    assert refused.exit_code == 2
    assert "cannot be written" in refused.stderr


@pytest.mark.parametrize("show", [html, markdown])
def test_hours_caps_and_clocks_are_on_the_page(show: Callable[[Page], str]) -> None:
    policy = compile_policy({path.name: path.read_bytes() for path in (EXAMPLE.parent / "hours").iterdir()})
    text = show(playbook(policy))
    seen = Reader(text) if show is html else rendered(text)
    assert {link.removeprefix("#") for link in seen.links if link.startswith("#")} <= set(seen.ids)
    for words in (
        "38 % (weight 30)",
        "6 a day, 2 in any hour, 2 a week of Very large",
        "languages for lead.language (required for 30 minutes)",
        "Nobody is given anything: members claim the next record.",
        "Mon-Thu 9:00-12:30, 13:30-18:00; Fri 9:00-12:30, 13:30-16:00, not on holidays of AT",
        "at 100 %: notify the owner's manager",
        "it goes to the queue Intake",
    ):
        assert words in seen.text, words


def test_a_pool_within_another_says_so() -> None:
    pools = "Everyone: {members: [pool Inner]}\nInner: {members: [Ana Diaz]}\n"
    seen = Reader(html(playbook(compile_policy(policy_files(pools=pools)))))
    assert "Its members share what it gets as a member of Everyone." in seen.text
    assert "Nothing gives leads to this pool" not in seen.text


def test_changes_are_told_in_one_phrase_and_kinds_of_record_in_english() -> None:
    engagement = """
ladders:
  lead:
    entry: [lead.status changed to "Working", lead.score crossed 50, 'lead.status changed from "Open" to ("Working", "Closed")']
    ladder: [{rung: Control, holdout: 5 %}, {otherwise: pool Everyone}]
  opportunity:
    entry: [event.kind = "created"]
    ladder: [{otherwise: pool Everyone}]
"""
    kind = "opportunity:\n  in: {salesforce: Opportunity}\n  fields:\n    owner: {type: person, salesforce: OwnerId}\n"
    text = Reader(html(playbook(compile_policy(policy_files(engagement=engagement, fields=FIELDS + kind))))).text
    for words in (
        "Who gets which leads and opportunities,",
        "When an opportunity is routed",
        "has just changed to “Working”.",
        "has just changed to 50 or more.",
        "has just changed from “Open” to “Working” or “Closed”.",
        "5 % are left as they are, as a control group",
    ):
        assert words in text, words
