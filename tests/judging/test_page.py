from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tracker.evaluation.report.page import PageTable, Picture, Section, write_index

TABLE = PageTable(
    "Scores.",
    ["name", "AUC", "remark"],
    [["b10", "0.500 [0.1, 0.9]", "y"], ["b<2>", "1,000", "x"], ["a", "not recorded", "z"], ["c", "-0.2", "w"]],
    {"b<2>": "#0072B2"},
)


def write(folder: Path) -> str:
    sections = [
        Section(
            "What was found", ["One & two."], [Picture("beside/a b.png", None, "alt", "A file beside.")], [TABLE]
        ),
        Section("Inside", pictures=[Picture("c.png", b"png", "other", "In the page.")], least_width=120),
    ]
    file = write_index(
        folder, "Title", "Lead.", sections, "occlusion-search demo --quick", settings=[("seed", "3")],
        next_steps=[("Do more", "occlusion-search generate --data 'a b'")], warnings=["Careful."],
    )  # fmt: skip
    assert file == folder / "index.html" and [*folder.iterdir()] == [file]
    return file.read_text("utf-8")


def test_an_index_holds_what_it_was_given(tmp_path: Path) -> None:
    page = write(tmp_path)
    for part in (
        "<title>Title</title>", "Lead.", "<li>Careful.</li>", "One &amp; two.", 'src="beside/a%20b.png"',
        'src="data:image/png;base64,cG5n"', "--least: 120px", "b&lt;2&gt;", "background: #0072B2",
        "occlusion-search generate --data &#39;a b&#39;", "<code>3</code>",
        "<code>occlusion-search demo --quick</code>",
    ):  # fmt: skip
        assert part in page
    assert (
        page.index("What was found") < page.index("Inside") < page.index("Do more") < page.index("<code>3</code>")
    )
    targets = re.findall(r'href="#([^"]+)"', page)
    assert targets == ["section-1", "section-2", "next", "made"]
    assert all(f'id="{target}"' in page for target in targets)
    assert not re.search(r"https?:|@import|url\(", page)


def test_an_earlier_page_stays_where_the_new_one_fails(tmp_path: Path) -> None:
    before = write(tmp_path)
    with pytest.raises(AttributeError):
        write_index(tmp_path, "Title", "Lead.", [None], "command")  # type: ignore[list-item]
    assert (tmp_path / "index.html").read_text("utf-8") == before and len([*tmp_path.iterdir()]) == 1


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs Chromium")
@pytest.mark.parametrize(
    ("column", "clicks", "order"),
    [
        (0, 1, "a b<2> b10 c"),
        (0, 2, "c b10 b<2> a"),
        (1, 1, "b<2> b10 c a"),
        (1, 2, "c b10 b<2> a"),
        (2, 1, "c b<2> b10 a"),
    ],
)
def test_a_click_sorts_a_table(tmp_path: Path, column: int, clicks: int, order: str) -> None:
    page = write(tmp_path)
    click = f"document.querySelectorAll('th button')[{column}].click();" * clicks
    (tmp_path / "index.html").write_text(page.replace("</body>", f"<script>{click}</script></body>"), "utf-8")
    words = ["chromium", "--headless", "--no-sandbox", "--disable-background-networking", "--dump-dom"]
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    found = subprocess.run(
        [*words, profile, (tmp_path / "index.html").as_uri()],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    names = re.findall(r'<th scope="row">(?:<i [^>]*></i>)?(.*?)</th>', found.stdout)
    assert " ".join(names).replace("&lt;", "<").replace("&gt;", ">") == order
