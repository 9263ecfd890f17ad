"""The page of `chat.py` in a headless browser: base and persona differ, and nothing leaves the machine.

`PICTURES=FOLDER` keeps the pictures.
"""

import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.browser.chromium import SIZES, browser, opened
from tests.cli.test_chat import free_port
from tests.conftest import REPOSITORY

PATIENCE = 120_000
HOSTILE = "<script>document.title = 'taken'</script><img src=x onerror=alert(1)> ${1 + 1} {{value}} &lt;"


@pytest.fixture(scope="module")
def chromium():
    with browser() as running:
        yield running


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return tmp_path_factory.mktemp("chat")


@pytest.fixture(scope="module")
def address(chromium, saved, tmp_path_factory):
    """The page of the built-in model, served by a process of its own."""
    pytest.importorskip("gradio", reason="the extra demo is not installed")
    port, written = free_port(), tmp_path_factory.mktemp("log") / "log.txt"
    with written.open("w") as log:
        command = [sys.executable, "chat.py", "--port", str(port), "--out", str(saved)]
        serving = subprocess.Popen(command, cwd=REPOSITORY, stdout=log, stderr=log)
        place, end = f"http://127.0.0.1:{port}/", time.monotonic() + 120
        try:
            while not answers(place):
                assert serving.poll() is None and time.monotonic() < end, written.read_text()
                time.sleep(0.3)
            yield place
        finally:
            serving.terminate()
            serving.wait(30)


def answers(place: str) -> bool:
    try:
        urllib.request.urlopen(place, timeout=5).close()  # noqa: S310 - an address of this machine
    except OSError:
        return False
    return True


def ask(page, text: str) -> list[str]:
    """Ask all columns something, and wait for what they say in the end."""
    before = page.locator("#chat-0 .turn.assistant").count()
    page.locator("#message textarea").fill(text)
    page.locator("#send").click()
    page.locator("#chat-0 .turn.assistant").nth(before).wait_for(timeout=PATIENCE)
    page.locator("#bars-2 .bar").nth(4).wait_for(timeout=PATIENCE)
    return settled(page)


def suggested(page) -> str:
    """The question that a button has written into the box."""
    wanted = page.locator("#suggested-0").inner_text()
    page.wait_for_function("text => document.querySelector('#message textarea').value === text", arg=wanted)
    return wanted


def settled(page) -> list[str]:
    """What each column has said last, once nothing more is being written."""
    said = None
    while said != (said := [page.locator(f"#chat-{column} .turn.assistant").last.inner_text() for column in range(3)]):
        time.sleep(1.0)
    return said


def to_lowest(page, trait: str) -> None:
    page.locator(f"#level-{trait} input[type=range]").focus()
    page.keyboard.press("Home")
    assert page.locator(f"#level-{trait} input[type=number]").input_value() == "-1"


def stayed_here(heard) -> bool:
    hosts = {urlsplit(request).hostname for request in heard.requests if request.startswith("http")}
    return hosts == {"127.0.0.1"} and heard.errors == [] and heard.dialogs == []


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_base_and_personas_answer_apart_and_follow_the_sliders(chromium, address):
    with opened(chromium, address, "light", "desktop") as (page, heard):
        page.locator("#message textarea").wait_for(timeout=PATIENCE)
        page.locator("#suggested-0").click()
        question = suggested(page)
        base, own, introvert = ask(page, question)
        assert base and own and introvert and own != introvert != base
        page.locator("#clear").click()
        page.locator("#chat-0 .turn").first.wait_for(state="detached", timeout=PATIENCE)
        to_lowest(page, "extraversion")
        assert ask(page, question) == [base, introvert, introvert]
        assert page.locator("#message textarea").input_value() == ""
        assert [page.locator(f"#bars-{column} .bar").count() for column in range(3)] == [5, 5, 5]
    assert stayed_here(heard), (heard.errors, heard.dialogs)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_what_is_written_is_text_it_can_be_stopped_and_is_saved(chromium, address, saved):
    with opened(chromium, address, "light", "desktop") as (page, heard):
        page.locator("#message textarea").wait_for(timeout=PATIENCE)
        ask(page, HOSTILE)
        assert page.title() != "taken"
        for column in range(3):
            assert page.locator(f"#chat-{column} .turn.user").inner_text() == HOSTILE
            assert page.locator(f"#chat-{column}").locator("img, script").count() == 0
        page.locator("#message textarea").fill("Tell me of the sea.")
        page.locator("#send").click()
        page.locator("#chat-0 .turn.assistant").nth(1).wait_for(timeout=PATIENCE)
        page.locator("#stop").click()
        settled(page)
        assert all(ask(page, "And of the mountains?"))
        page.locator("#save").click()
        page.locator("#problem", has_text="Saved as").wait_for(timeout=PATIENCE)
        # What cannot be answered is said, and what was written is kept.
        to_lowest(page, "openness")
        page.locator("#level-openness input[type=number]").fill("0")
        page.locator("#level-extraversion input[type=number]").fill("0")
        page.locator("#message textarea").fill("Who are you?")
        page.locator("#message textarea").press("Enter")
        page.locator("#problem", has_text="is nobody yet").wait_for(timeout=PATIENCE)
        assert page.locator("#message textarea").input_value() == "Who are you?"
    assert len(list(saved.glob("conversation-*.json"))) == 1
    assert stayed_here(heard), (heard.errors, heard.dialogs)


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits(scheme, size, chromium, address, tmp_path):
    with opened(chromium, address, scheme, size) as (page, heard):
        page.locator("#message textarea").wait_for(timeout=PATIENCE)
        page.locator("#suggested-0").click()
        ask(page, suggested(page))
        pictures = Path(os.environ.get("PICTURES") or tmp_path)
        pictures.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=pictures / f"chat-{size}-{scheme}.png", full_page=True)
        width = page.evaluate("document.documentElement.scrollWidth")
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert width <= SIZES[size][0]
    assert (sum(map(int, ground.removeprefix("rgb(").removesuffix(")").split(","))) < 384) == (scheme == "dark")
    assert stayed_here(heard), (heard.errors, heard.dialogs)
