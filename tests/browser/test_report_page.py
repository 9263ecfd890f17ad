"""The report in a browser: nothing on the console, nothing asked of a network, everything readable; pictures are taken.

`PICTURES=FOLDER` keeps the pictures.
"""

import os
from pathlib import Path

import pytest

from report.contents import read_contents
from report.writing import write_report
from tests.browser.chromium import SIZES, browser, opened
from tests.unit.report.results import HOSTILE, by_trait, figure, record, strengths, write_run


@pytest.fixture(scope="module")
def chromium():
    with browser() as running:
        yield running


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    """A report with every part, and markup in names and answers."""
    root = tmp_path_factory.mktemp("runs")
    for name, value in (("none", 0.2), ("npti", 0.8), ("simple_prompt", 0.75), (HOSTILE, 0.5)):
        rows = [figure(name, value), figure(name, value * 9, metric="perplexity", base_value=2.0)]
        traits = by_trait(name, [value * (0.6 + 0.05 * place) for place in range(10)], "+-")
        folder = root / str(len(list(root.iterdir())))
        write_run(folder, [*rows, *traits], [record(name, str(k), f"{HOSTILE} {name}", f"Tea {k}?") for k in range(4)])
    write_run(root / "other", [figure(name, 0.5, benchmark="trait") for name in ("npti", "ike")])
    write_run(root / "sweep", strengths("npti", {"0": 0.2, "1": 0.5, "4": 0.8}))
    return write_report(read_contents([root]), tmp_path_factory.mktemp("report"))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_report_is_silent_complete_and_fits(scheme, size, chromium, page_file, tmp_path):
    with opened(chromium, page_file.as_uri(), scheme, size) as (page, heard):
        pictures = Path(os.environ.get("PICTURES") or tmp_path)
        pictures.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=pictures / f"report-{size}-{scheme}.png", full_page=True)
        assert HOSTILE in page.inner_text("main")
        assert page.locator("svg.radar").count() == 3 and page.locator("polyline.line").count() == 1
        page.locator("summary").first.click()
        page.locator("nav a").last.click()
        width = page.evaluate("document.documentElement.scrollWidth")
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert width <= SIZES[size][0]
    assert (sum(map(int, ground.removeprefix("rgb(").removesuffix(")").split(","))) < 384) == (scheme == "dark")
    assert heard.errors == [] and heard.dialogs == []
    assert {address.partition("#")[0] for address in heard.requests} == {page_file.as_uri()}
