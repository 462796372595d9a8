"""The command `explore`."""

from __future__ import annotations

from pathlib import Path

from ..shared import Device, on_interrupt


def explore(
    *,
    data: Path | None = None,
    port: int | None = None,
    browser: bool = True,
    device: Device = "auto",
) -> None:
    """Search a target by hand in the browser, and compare.

    The page shows the score and the map of score drops, each step of the agent and of the belief, the target's
    manifold and a tracker's sensitivity map, and packs hard positives to download. It runs on this machine and
    sends nothing to another. It needs `pip install 'occlusion-search[explore]'`.

    Args:
        data: A folder of annotated sequences (OTB, VOT, GOT-10k, LaSOT, ...), one of them, a folder of images or a
            video file; a synthetic video is always offered, and a video can be uploaded.
        port: Port of the page; the first free one from 7860 by default.
        browser: Open the page in a browser.

    Examples:
        occlusion-search explore
        occlusion-search explore --data path/to/otb --port 8000 --no-browser
    """
    from ...explore.serving import serve_page

    with on_interrupt("the page is closed"):
        serve_page(data, port, device, browser)
