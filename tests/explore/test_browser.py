"""The page in a real Chromium: a person plays, compares, steps through the searches, uploads, and downloads."""

from __future__ import annotations

import io
import re
import shutil
import sys
import zipfile
from pathlib import Path
from urllib.parse import urlsplit

import cv2
import numpy as np
import pytest

WAIT = 120_000
"""Milliseconds that a step may take on a busy machine."""
LOCAL = {"127.0.0.1", "localhost"}

sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
pytest.importorskip("gradio", reason="Gradio is not installed (occlusion-search[explore])")
expect = sync_api.expect


@pytest.fixture(scope="module")
def connections():
    """Hosts that the server's process connects to or looks up."""
    hosts: list[str] | None = []

    def record(event: str, arguments: tuple) -> None:
        if hosts is None:
            return
        if event == "socket.connect" and isinstance(arguments[1], tuple):
            hosts.append(str(arguments[1][0]))
        if event == "socket.getaddrinfo":
            hosts.append(str(arguments[0]))

    sys.addaudithook(record)  # there is no way to remove it
    yield hosts
    hosts = None


@pytest.fixture(scope="module")
def address(make_video, write_otb, tmp_path_factory, connections):
    from agents.explore.serving import start_page

    folder = tmp_path_factory.mktemp("videos")
    for seed, name in enumerate(("ant", "bee")):
        write_otb(folder / name, make_video(4, 96, 72, seed=seed))
    page, address = start_page(folder, None, "cpu", browser=False)
    yield address
    page.close(verbose=False)


@pytest.fixture(scope="module")
def browser():
    if (chromium := shutil.which("chromium")) is None:
        pytest.skip("there is no Chromium on this machine (apt-get install chromium)")
    expect.set_options(timeout=WAIT)
    with sync_api.sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=chromium, args=options, timeout=WAIT)
        yield browser
        browser.close()


@pytest.fixture
def page(browser, address, connections):
    """The page, opened on the first video; at the end nothing has failed and nothing has left the machine."""
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    page.set_default_timeout(WAIT)
    hosts, errors = set(), []
    page.on("request", lambda request: hosts.add(urlsplit(request.url)))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(address)
    expect(page.locator("#score")).to_contain_text("in 1 query")
    yield page
    assert not errors
    assert {host.hostname for host in hosts if host.scheme in ("http", "https", "ws", "wss")} <= LOCAL
    assert connections and set(connections) <= LOCAL
    assert "Traceback" not in page.inner_text("body")
    page.close()


def queries(page, number: int) -> None:
    """Wait for the score of the last query."""
    expect(page.locator("#score")).to_contain_text(re.compile(rf"in {number} quer(y|ies)"))


def read(page, name: str) -> float:
    return float(re.search(rf"{name} (-?\d\.\d+)", page.inner_text("#score"))[1])


def picture(page, name: str) -> str:
    """The address of a picture, once there is one."""
    image = page.locator(f"#{name} img")
    expect(image).to_be_visible()
    return image.get_attribute("src")


def drag(page, handle: str, across: float, down: float) -> None:
    """Drag the middle of something by a number of pixels."""
    page.locator(handle).scroll_into_view_if_needed()
    box = page.locator(handle).bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + across, y + down, steps=3)
    page.mouse.up()


def fill(page, name: str, number: int) -> None:
    """Set a slider by its number."""
    page.locator(f"#{name} input[type=number]").fill(str(number))


def test_an_episode_is_played_and_compared(page):
    ant = picture(page, "target")
    page.click("button:has-text('Video: choose')")
    page.click("#video input")
    page.click("[role=option]:has-text('bee')")
    page.click("#open")
    expect(page.locator("#target img")).not_to_have_attribute("src", ant)
    queries(page, 1)
    start = read(page, "Score")

    page.keyboard.press("ArrowUp")
    queries(page, 2)
    expect(page.locator("#score")).to_contain_text("reward")
    for number, name in enumerate(("right", "fatter", "down"), start=3):
        page.click(f"#act-{name}")
        queries(page, number)
    drag(page, "#target .region", -40, 20)
    queries(page, 6)
    wide = page.locator("#target .region").bounding_box()["width"]
    drag(page, "#target .corner", -30, -10)
    queries(page, 7)
    assert page.locator("#target .region").bounding_box()["width"] == pytest.approx(wide - 30, abs=3)
    best = read(page, "your best")
    assert best < start
    page.keyboard.press("Enter")
    expect(page.locator("#score")).to_contain_text("the episode is over")

    page.click("#compare")
    table = page.locator("#table")
    for name in (
        "random regions",
        "one constant region",
        "hill climbing",
        "agent",
        "belief",
        "all of grid search",
    ):
        expect(table).to_contain_text(name)
    assert re.search(rf"you\s+{best:.3f}\s+\S+\s+7\b", table.inner_text())
    picture(page, "plot")
    page.click("#look-up")
    picture(page, "drops")
    page.click("#compare")
    expect(table).to_contain_text("7 + 336 of the map")
    page.click("#again")
    queries(page, 1)


def test_the_searches_of_the_methods_step_by_step(page):
    page.click("[role=tab]:has-text('Agent and belief')")
    page.click("#methods")
    for name, slider in (("agent", "agent-step"), ("belief", "belief-step")):
        last = picture(page, name)
        fill(page, slider, 0)
        expect(page.locator(f"#{name} img")).not_to_have_attribute("src", last)


def test_a_manifold_is_traversed(page):
    page.click("[role=tab]:has-text('Manifold')")
    fill(page, "epochs", 10)
    page.click("#learn")
    plane, decoded = page.locator("#plane .plane"), page.locator("#plane .decoded")
    for x, y, place in ((5, 5, "0% 0%"), (410, 410, "100% 100%")):
        plane.hover(position={"x": x, "y": y})
        expect(decoded).to_have_css("background-position", place)
    plane.click(position={"x": 100, "y": 300})
    expect(page.locator("#decoded-score")).to_contain_text(re.compile(r"Score -?\d\.\d+"))
    before = picture(page, "decoded")
    plane.click(position={"x": 400, "y": 20})
    expect(page.locator("#decoded img")).not_to_have_attribute("src", before)


def test_hard_positives_are_downloaded(page):
    page.click("[role=tab]:has-text('Hard positives')")
    fill(page, "count", 2)
    page.click("#make")
    expect(page.locator("#gallery img")).to_have_count(2)
    with page.expect_download() as download:
        page.click("#download")
    with zipfile.ZipFile(io.BytesIO(Path(download.value.path()).read_bytes())) as packed:
        names = [name for name in packed.namelist() if not name.endswith("/")]
        assert sorted(names) == [
            f"hard_positives/{name}" for name in ("000001.png", "000002.png", "metadata.jsonl")
        ]
        image = cv2.imdecode(np.frombuffer(packed.read("hard_positives/000001.png"), np.uint8), cv2.IMREAD_COLOR)
    assert image.ndim == 3


def test_what_cannot_be_done_is_one_sentence(page):
    page.click("[role=tab]:has-text('Stress test')")
    page.click("button#stress")
    expect(page.get_by_text("45 frames in a row that show").last).to_be_visible()
    expect(page.locator(".toast-body, [data-testid=toast-body]")).to_contain_text("45 frames in a row")


def test_a_video_is_uploaded_and_boxed(page, make_video, tmp_path):
    video = make_video(6, 160, 120, seed=5)
    file = tmp_path / "mine.avi"
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"MJPG"), 10, (160, 120))
    for t in range(len(video)):
        writer.write(cv2.cvtColor(video.frames[t], cv2.COLOR_RGB2BGR))
    writer.release()
    before = picture(page, "target")
    page.click("button:has-text('Video: choose')")
    with page.expect_file_chooser() as chooser:
        page.click("#upload")
    chooser.value.set_files(file)
    expect(page.locator("#note")).to_contain_text("mine.avi")
    box = page.locator("#box textarea, #box input")
    expect(box).to_have_value("60,45,40,30")
    # The target is 40 x 30 pixels at (53, 40).
    image = page.locator("#first img").bounding_box()
    scale = image["width"] / 160
    drag(page, "#first .region", -7 * scale, -5 * scale)
    expect(box).to_have_value("53,40,40,30")
    page.click("#open")
    expect(page.locator("#target img")).not_to_have_attribute("src", before)
    queries(page, 1)
    page.click("#act-left")
    queries(page, 2)
