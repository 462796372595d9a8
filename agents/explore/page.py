"""The Gradio page: each tab is a function that adds its controls and their events."""

from __future__ import annotations

import io
import sys
import traceback
from collections.abc import Callable
from functools import wraps
from importlib import resources
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image as PILImage

import vae
from occlusion_env.mdp.actions import ACTIONS
from tracker.errors import InputError, describe_error
from tracker.evaluation.report.page import Picture
from tracker.trackers.registry import TRACKERS

from ..common.pictures import enlarged
from . import pictures
from .models import Models
from .session import HARD_POSITIVES, METHODS, PLANE, Session
from .videos import Choice, format_box

ABOUT = """
# Where is the matcher blind?
A tracker recognises its target by the **score** of a matcher: near 1 means the same target as in the first frame.
Cover at most a quarter of the target so that the score falls as far as you can bring it, in few tries.
Each scored region is a **query**.
"""

_ARROWS = {"right": "→", "left": "←", "up": "↑", "down": "↓", "bigger": "+", "smaller": "−"}
_KEYS = """
Keys: arrows; `+` and `-`: bigger, smaller; `F`: fatter; `T`: taller; `Enter`: trigger, which ends the episode.
A move that lowers the score pays +1, another one −1; the trigger pays +3 if the score is low enough, else −3.
"""


def make_page(models: Models, choices: dict[str, Choice]) -> gr.Blocks:
    """Build the page.

    Args:
        models: The networks that all sessions share.
        choices: The videos to choose from, by name; the first one is opened with the page unless it needs a box.

    Returns:
        The page; start it with `launch(**look())`.
    """
    first = next(iter(choices.values()))
    with gr.Blocks(title="occlusion-search", analytics_enabled=False, delete_cache=(3600, 86400)) as page:
        gr.Markdown(ABOUT)
        session = gr.State()
        opened = [_video_choice(page, session, models, choices)]
        frame = gr.Slider(1, 2, 1, step=1, label="target: one of the later frames of the video", elem_id="frame")
        with gr.Tabs():
            with gr.Tab("Search by hand"):
                turn, of_target = _search_tab(session)
            with gr.Tab("Agent and belief"):
                of_target += _methods_tab(session)
            with gr.Tab("Manifold"):
                of_video = _manifold_tab(session)
            with gr.Tab("Stress test"):
                of_video += _stress_tab(session)
            with gr.Tab("Hard positives"):
                of_video += _hard_positives_tab(session)

        def show_video(current: Session) -> list[Any]:
            slider = gr.update(maximum=max(len(current.targets), 2), value=current.index + 1)
            return [slider, *show_turn(current), *[None] * len(of_target + of_video)]

        @report_errors
        def choose(current: Session | None, number: int) -> list[Any]:
            current = _check_open(current)
            current.choose(min(int(number), len(current.targets)) - 1)
            return [*show_turn(current), *[None] * len(of_target)]

        if not first.needs_box:
            load = report_errors(lambda: Session(models, first.open("", lambda: models.networks.scorer)))
            opened.append(page.load(load, None, session))
        for event in opened:
            event.success(show_video, session, [frame, *turn, *of_target, *of_video])
        frame.input(
            choose, [session, frame], [*turn, *of_target], concurrency_id="turns", trigger_mode="always_last"
        )
    return page


def look() -> dict[str, Any]:
    """The arguments of `launch` for the page's theme, style and keys; the fonts are the system's."""
    system, mono = ["system-ui", "sans-serif"], ["ui-monospace", "monospace"]
    return {
        "theme": gr.themes.Default(font=system, font_mono=mono),
        "css": _read("page.css"),
        "head": f"<script>{_read('keys.js')}</script>",
    }


def _read(name: str) -> str:
    return (resources.files(__package__) / name).read_text(encoding="utf-8")


def report_errors(handler: Callable[..., Any]) -> Callable[..., Any]:
    """Make an event's handler show its errors as one sentence in the page."""

    @wraps(handler)
    def run(*arguments: Any) -> Any:
        try:
            return handler(*arguments)
        except Exception as error:
            raise gr.Error(describe_failure(error), duration=None, print_exception=False) from None

    return run


def describe_failure(error: Exception) -> str:
    """One sentence for an error of an event; the traceback of an unexpected one goes to the standard error."""
    if isinstance(error, InputError | vae.VAEError):
        return str(error)
    if (sentence := describe_error(error)) is None:
        traceback.print_exception(error, file=sys.stderr)
        sentence = f"This failed unexpectedly ({type(error).__name__}); the terminal shows where."
    return sentence


def _check_open(session: Session | None) -> Session:
    if session is None:
        raise InputError("No video is open; choose one above and press Open.")
    return session


def _picture(caption: str, name: str, height: int | None = None) -> gr.Image:
    """A picture below its caption; Gradio's own captions and buttons would lie on the picture."""
    with gr.Column(min_width=240):
        gr.Markdown(caption)
        return gr.Image(show_label=False, interactive=False, elem_id=name, height=height, buttons=[], format="png")


def _region_picture(caption: str, name: str) -> gr.HTML:
    """A picture with a region that can be dragged; its event `release` has the region."""
    with gr.Column(min_width=240):
        gr.Markdown(caption)
        return gr.HTML(elem_id=name, js_on_load=_read("region.js"))


def _region_html(image: NDArray[np.uint8], region: ArrayLike | None = None) -> str:
    """The value of `_region_picture`: an image, and a region relative to it."""
    html = f'<img src="{_data_uri(image)}" alt="" draggable="false">'
    if region is not None:
        sides = zip(("left", "top", "width", "height"), np.asarray(region, dtype=float), strict=True)
        style = "; ".join(f"{side}: {100 * value:.3f}%" for side, value in sides)
        html += f'<div class="region" style="{style}"><div class="corner"></div></div>'
    return f'<div class="board">{html}</div>'


def _data_uri(image: NDArray[np.uint8]) -> str:
    buffer = io.BytesIO()
    PILImage.fromarray(image).save(buffer, "JPEG", quality=85)
    return Picture("picture.jpg", buffer.getvalue(), "", "").uri


def _video_choice(page: gr.Blocks, session: gr.State, models: Models, choices: dict[str, Choice]) -> Any:
    """The choice of a video and its target; returns the event that opens it."""
    names = list(choices)
    choice = gr.State(choices[names[0]])
    with gr.Accordion("Video: choose another one, or upload yours", open=choices[names[0]].needs_box):
        with gr.Row():
            with gr.Column(min_width=240):
                name = gr.Dropdown(names, value=names[0], label="video", elem_id="video", filterable=False)
                upload = gr.UploadButton("Upload a video", file_types=["video"], elem_id="upload")
                note = gr.Markdown(elem_id="note")
                box = gr.Textbox(label="target's box in the first frame: x,y,w,h in pixels", elem_id="box")
                button = gr.Button("Open", variant="primary", elem_id="open")
            picture = _region_picture("First frame", "first")

    def show(chosen: Choice) -> list[Any]:
        frame = chosen.first_frame()
        if not chosen.needs_box:
            note = "The target's boxes are known; press Open."
            return [chosen, _region_html(frame), gr.update(value="", visible=False), note]
        assert chosen.path is not None
        note = (
            f"**{chosen.path.name}**: drag the box over the target, and its corner until it fits. MIL follows it."
        )
        centre = (0.375, 0.375, 0.25, 0.25)
        box = gr.update(value=format_box(frame, centre), visible=True)
        return [chosen, _region_html(frame, centre), box, note]

    def drag(chosen: Choice, event: gr.EventData) -> str:
        return format_box(chosen.first_frame(), event.region)

    def open_video(chosen: Choice, text: str) -> Session:
        return Session(models, chosen.open(text, lambda: models.networks.scorer))

    outputs = [choice, picture, box, note]
    page.load(report_errors(show), choice, outputs)
    name.change(report_errors(lambda given: show(choices[given])), name, outputs)
    upload.upload(report_errors(lambda file: show(Choice(Path(file), needs_box=True))), upload, outputs)
    picture.release(drag, choice, box)
    return button.click(report_errors(open_video), [choice, box], session)


def show_turn(session: Session) -> list[Any]:
    """The values of the outputs of each turn of the search by hand: target, covered target, score, turns."""
    search = session.search
    game, last = search.game, search.game.turns[-1]
    count = len(game.queried())
    queries = "1 query" if count == 1 else f"{count} queries"
    text = (
        f"Score **{last.score:.3f}** · not covered {search.clean:.3f} · low enough for the trigger:"
        f" {search.clean - search.drop:.3f} · your best **{game.best.score:.3f}** in {queries}"
    )
    if last.reward is not None:
        text += f" · reward **{last.reward:+g}**, sum {game.total:+g}"
    if game.over:
        text += " · **the episode is over**"
    rows = [
        [turn.name, f"{turn.score:.3f}", "" if turn.reward is None else f"{turn.reward:+g}"]
        for turn in reversed(game.turns)
    ]
    target = enlarged(search.target.crop, pictures.SIDE)
    turns = _table("your turns, latest first | score | reward", rows)
    return [_region_html(target, last.region), pictures.draw_occluded(search), text, turns]


def _table(headings: str, rows: list[list[str]]) -> str:
    """A table in Markdown; its columns but the first are aligned to the right."""
    rule = "|".join([" --- ", *[" ---: "] * headings.count("|")])
    return "\n".join(f"| {row} |" for row in (headings, rule, *(" | ".join(row) for row in rows)))


def _search_tab(session: gr.State) -> tuple[list[Any], list[Any]]:
    """The search by hand; returns the outputs of a turn, and the outputs of the map and of the comparison."""
    with gr.Row():
        target = _region_picture("**Target**: drag the region, or its corner", "target")
        occluded = _picture("**Covered**, as the matcher sees it", "occluded")
        with gr.Column(min_width=240):
            drops = _picture("**Map of score drops**: how far it falls when covered there", "drops")
            look_up = gr.Button("Show the map (336 queries)", size="sm", elem_id="look-up")
    score = gr.Markdown(elem_id="score")
    with gr.Row():
        buttons = {
            name: gr.Button(
                f"{_ARROWS[name]} {name}" if name in _ARROWS else name, elem_id=f"act-{name}", min_width=80,
                variant="primary" if name == "trigger" else "secondary", size="sm",
            )
            for name in ACTIONS
        }  # fmt: skip
    with gr.Row():
        again = gr.Button("Start over", elem_id="again", size="sm")
        against = gr.Button("Compare me with the methods", variant="primary", elem_id="compare", size="sm")
    gr.Markdown(_KEYS)
    with gr.Row():
        with gr.Column():
            table = gr.Markdown(elem_id="table")
        with gr.Column():
            plot = _picture("Least score by number of queries", "plot")
    turns = gr.Markdown(elem_id="turns", max_height=260)
    outputs = [target, occluded, score, turns]

    def act(name: str) -> Callable[[Session | None], list[Any]]:
        def run(current: Session | None) -> list[Any]:
            current = _check_open(current)
            current.search.game.act(name)
            return show_turn(current)

        return report_errors(run)

    @report_errors
    def place(current: Session | None, event: gr.EventData) -> list[Any]:
        current = _check_open(current)
        current.search.game.place(event.region)
        return show_turn(current)

    @report_errors
    def restart(current: Session | None) -> list[Any]:
        current = _check_open(current)
        current.search.restart()
        return [*show_turn(current), None, None]

    @report_errors
    def compare(current: Session | None) -> list[Any]:
        search = _check_open(current).search
        results = search.compare()
        rows = [
            [each.method, f"{each.curve[-1]:.3f}", f"{search.clean - each.curve[-1]:.3f}", str(each.queries)]
            for each in results
        ]
        if search.map_known:
            rows[0][3] += f" + {len(search.grid)} of the map"
        return [
            _table("with at most your number of queries | least score | drop | queries", rows),
            pictures.draw_comparison(results, search.clean),
        ]

    # One at a time and all of them, so that keys pressed fast count in their order.
    turn: dict[str, Any] = {"concurrency_id": "turns", "trigger_mode": "multiple", "show_progress": "hidden"}
    for name, button in buttons.items():
        button.click(act(name), session, outputs, **turn)
    target.release(place, session, outputs, **turn)
    again.click(restart, session, [*outputs, table, plot], **turn)
    against.click(compare, session, [table, plot])
    look_up.click(report_errors(lambda current: pictures.draw_drops(_check_open(current).search)), session, drops)
    return outputs, [drops, table, plot]


def _methods_tab(session: gr.State) -> list[Any]:
    """Add the tab and return its outputs."""
    gr.Markdown("Two methods search the same target with the same cover. Move a slider to follow each step.")
    button = gr.Button("Search this target", variant="primary", elem_id="methods")
    with gr.Row():
        with gr.Column():
            step = gr.Slider(0, 1, 0, step=1, label="number of the agent's actions", elem_id="agent-step")
            agent = _picture(
                "**The agent** (deep Q-learning) moves the region by the same actions as you. clean: score of the"
                " target that is not covered; phi: low enough for the trigger",
                "agent",
            )
        with gr.Column():
            number = gr.Slider(0, 1, 0, step=1, label="number of the belief's queries", elem_id="belief-step")
            belief = _picture(
                "**The belief**: the drop that it expects under each cover, and how unsure it is, before its first"
                " query and now. Solid: best region so far; dashed: latest query",
                "belief",
            )

    @report_errors
    def search(current: Session | None) -> list[Any]:
        found = _check_open(current).search
        actions, queries = len(found.episode.actions), len(found.trace.drops)
        return [
            gr.update(maximum=actions, value=actions), pictures.draw_agent(found, actions),
            gr.update(maximum=queries, value=queries), pictures.draw_belief(found, queries),
        ]  # fmt: skip

    @report_errors
    def show_agent(current: Session | None, at: int) -> Any:
        found = _check_open(current).search
        return pictures.draw_agent(found, min(int(at), len(found.episode.actions)))

    @report_errors
    def show_belief(current: Session | None, at: int) -> Any:
        found = _check_open(current).search
        return pictures.draw_belief(found, min(int(at), len(found.trace.drops)))

    button.click(search, session, [step, agent, number, belief])
    for slider, show, picture in ((step, show_agent, agent), (number, show_belief, belief)):
        slider.input(show, [session, slider], picture, show_progress="hidden", trigger_mode="always_last")
    return [agent, belief]


def _manifold_tab(session: gr.State) -> list[Any]:
    """Add the tab and return its outputs."""
    gr.Markdown(
        "A variational autoencoder learns the appearances of the target as points of a plane; the dots are frames"
        " of the video. Move the mouse over the plane to decode the image there, and click to score it."
    )
    with gr.Row():
        epochs = gr.Slider(10, 1000, 300, step=10, label="epochs (20,000 in the paper)", elem_id="epochs")
        button = gr.Button("Learn the manifold", variant="primary", elem_id="learn")
    with gr.Row():
        with gr.Column(scale=2):
            plane = gr.HTML(elem_id="plane", js_on_load=_read("plane.js"))
        with gr.Column(min_width=240):
            decoded = _picture("Decoded where you clicked", "decoded", height=260)
            text = gr.Markdown(elem_id="decoded-score")

    @report_errors
    def learn(
        current: Session | None,
        count: int,
        progress: gr.Progress = gr.Progress(track_tqdm=True),  # noqa: B008
    ) -> list[Any]:
        manifold = _check_open(current).learn_manifold(int(count))
        style = f"--side: {PLANE}; --plane: url({_data_uri(manifold.plane())})"
        dots = "".join(
            f'<div class="dot" style="left: {100 * x:.1f}%; top: {100 * y:.1f}%"></div>'
            for x, y in manifold.positions()
        )
        html = (
            f'<div class="manifold" style="{style}"><div class="plane">{dots}</div>'
            '<div>Under the mouse<div class="decoded"></div></div></div>'
        )
        return [html, None, ""]

    @report_errors
    def decode(current: Session | None, event: gr.EventData) -> list[Any]:
        current = _check_open(current)
        assert current.manifold is not None  # there is a plane
        image = current.manifold.decode(*event.point)
        return [enlarged(image, 256), f"Score **{current.search.score(image):.3f}**"]

    button.click(learn, [session, epochs], [plane, decoded, text])
    plane.select(decode, session, [decoded, text], show_progress="hidden")
    return [plane, decoded, text]


def _stress_tab(session: gr.State) -> list[Any]:
    """Add the tab and return its outputs."""
    gr.Markdown(
        "The stress test covers the target for some frames of this video, and maps where a cover costs a tracker"
        " most of its overlap with the target. A moment needs 45 frames in a row that show the target."
    )
    with gr.Row():
        tracker = gr.Dropdown(list(TRACKERS), value="mil", label="tracker", elem_id="tracker")
        moments = gr.Slider(1, 4, 2, step=1, label="moments, at most", elem_id="moments")
        button = gr.Button("Run the stress test", variant="primary", elem_id="stress")
    text = gr.Markdown(elem_id="stress-result")
    picture = _picture(
        "Overlap (IoU) that the tracker loses when covered there; grey: never covered", "sensitivity", height=360
    )

    @report_errors
    def run(current: Session | None, name: str, most: int) -> list[Any]:
        current = _check_open(current)
        result, lost = current.stress(name, int(most))
        exemplar = current.search.target.exemplar
        told = (
            f"**{result.name}**: mean overlap under covers of 0 to 100 % (OccAUC) **{result.occ_auc.mean:.3f}**,"
            f" moments: {len(result.moments)}"
        )
        return [told, pictures.draw_map(exemplar, lost, "overlap lost")]

    button.click(run, [session, tracker, moments], [text, picture])
    return [text, picture]


def _hard_positives_tab(session: gr.State) -> list[Any]:
    """Add the tab and return its outputs."""
    gr.Markdown(
        "A hard positive is the target, covered where the score is low: an image to train a matcher on. Below each"
        " is its score before and after."
    )
    with gr.Row():
        method = gr.Dropdown(list(METHODS), value=METHODS[0], label="regions found by", elem_id="method")
        count = gr.Slider(
            1, 4 * HARD_POSITIVES, HARD_POSITIVES, step=1, label="how many, at most", elem_id="count"
        )
        button = gr.Button("Make hard positives", variant="primary", elem_id="make")
    download = gr.DownloadButton("Download the zip file", interactive=False, elem_id="download")
    gallery = gr.Gallery(show_label=False, elem_id="gallery", buttons=[])

    @report_errors
    def make(
        current: Session | None,
        name: str,
        number: int,
        progress: gr.Progress = gr.Progress(track_tqdm=True),  # noqa: B008
    ) -> list[Any]:
        file, positives = _check_open(current).zip_hard_positives(name, int(number))
        images = [(each.image, f"{each.score_before:.2f} → {each.score_after:.2f}") for each in positives]
        return [gr.update(value=str(file), interactive=True), images]

    button.click(make, [session, method, count], [download, gallery])
    return [download, gallery]
