"""The report as files: a page that is complete in itself, text that stays text, the same bytes for the same rows."""

import re
from html.parser import HTMLParser

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer

from report.contents import read_contents
from report.tensorboard import write_tensorboard
from report.writing import write_report
from tests.unit.report.results import HOSTILE, by_trait, figure, record, strengths, write_run


class Page(HTMLParser):
    """The tags, addresses, ids and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        named = dict(attrs)
        self.addresses += [named[name] or "" for name in ("src", "href") if name in named]
        self.ids += [named["id"]] if "id" in named else []
        if tag not in {"meta", "link", "br", "wbr"}:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two benchmarks, three methods, a sweep, hostile names and hostile answers."""
    root = tmp_path_factory.mktemp("runs")
    for name, value in (("none", 0.2), ("npti", 0.8), (HOSTILE, 0.5)):
        rows = [figure(name, value), figure(name, value * 9, metric="perplexity"), *by_trait(name, [value] * 10, "+-")]
        folder = str(len(list(root.iterdir())))
        records = [record(name, str(k), HOSTILE, HOSTILE, HOSTILE, value + k / 100) for k in range(8)]
        write_run(root / folder, rows, records)
    judge = {"name": HOSTILE, "version": "1", "check": None}
    write_run(root / "other", [figure("npti", 0.8, benchmark="trait", commit="c" * 40, judge=judge)])
    write_run(root / "sweep", strengths("npti", {"0": 0.2, HOSTILE: 0.8}))
    return root


@pytest.fixture(scope="module")
def written(runs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    write_report(read_contents([runs]), folder)
    return folder


def test_the_page_is_complete_in_itself_and_well_formed(written):
    page = Page((written / "report.html").read_text())
    assert not page.open
    assert not {"script", "img", "iframe", "object"} & set(page.tags)
    assert all(address.startswith(("#", "data:")) for address in page.addresses)
    assert {address[1:] for address in page.addresses if address.startswith("#")} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    assert not re.search(r"url\(|@import", (written / "report.html").read_text())


def test_markup_in_names_and_answers_is_text(written):
    page = Page((written / "report.html").read_text())
    assert "".join(page.words).count(HOSTILE) >= 4
    markdown = (written / "report.md").read_text()
    assert "<script" not in markdown and "&lt;script&gt;" in markdown
    assert "<script" not in (written / "leaderboard.md").read_text()


def test_the_page_shows_every_part(written):
    text = (written / "report.html").read_text()
    for part in ("overview", "Side effects", "Trait by trait", "Before and after", "Strength", "Cost", "Provenance"):
        assert part in text
    assert "Paired tests" in text and "0.023" in text and "Paired tests" in (written / "report.md").read_text()
    assert text.count('class="radar"') == 2 and text.count('<polyline class="line"') == 1
    assert "Figures of 2 commits" not in text and "no check of the judge" in text.lower()
    assert "prefers-color-scheme: dark" in text and "max-width: 40rem" in text
    # A figure of the trait itself lies low where a low persona is reached.
    assert "− one low on it, which has reached its end in the middle" in text


def test_the_same_results_give_the_same_bytes(runs, written, tmp_path):
    write_report(read_contents([runs]), tmp_path)
    names = {path.name for path in written.iterdir()}
    assert {"report.html", "report.md", "leaderboard.md", "leaderboard.png", "leaderboard.svg"} <= names
    assert {"traits-personality_edit.png", "traits-personality_edit.svg"} <= names
    assert sum(name.startswith("strength-personality_edit-npti-strength") for name in names) == 2
    for name in names:
        assert (written / name).read_bytes() == (tmp_path / name).read_bytes(), name


def test_a_judge_that_failed_its_check_is_the_first_line_of_all(tmp_path):
    judge = {"name": "scripted", "version": "1", "check": 0.31}
    write_run(tmp_path / "run", [figure("npti", 0.5, judge=judge)])
    write_report(read_contents([tmp_path / "run"]), tmp_path / "out")
    assert "0.31" in (tmp_path / "out" / "report.md").read_text().splitlines()[0]
    body = (tmp_path / "out" / "report.html").read_text().partition("<body>")[2]
    assert "0.31" in body.strip().splitlines()[0] and "Warning" in body.strip().splitlines()[0]


def test_tensorboard_gets_the_pictures_and_the_table_of_runs(runs, tmp_path):
    logs = write_tensorboard(read_contents([runs]), tmp_path)
    events = EventAccumulator(str(logs), size_guidance={"images": 0}).Reload()
    assert {"report/leaderboard", "report/traits-personality_edit"} <= set(events.Tags()["images"])
    found = EventMultiplexer().AddRunsFromDirectory(str(logs)).Reload()
    values = {
        run: found.Scalars(run, "figures/acc")[0].value
        for run, tags in found.Runs().items()
        if "figures/acc" in tags["scalars"]
    }
    assert sorted(round(value, 3) for value in values.values()) == [0.2, 0.5, 0.8, 0.8]
