"""What the page shows of a video, without Gradio."""

import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from agents.common.randomness import generator
from agents.evaluation.comparison import RANDOM_DRAWS, best_of_k, episode_queries
from agents.explore import pictures
from agents.explore.session import Session
from agents.explore.target import COMPARED, SEED
from agents.explore.videos import Choice, format_box, list_choices, write_got10k
from agents.policies.baselines import HillClimbing, Querying
from agents.policies.belief.method import BeliefSearch
from agents.stress.corruptions.moments import possible_frames
from agents.stress.corruptions.settings import SPAN
from occlusion_env.scene.occluders import occlude_image
from occlusion_env.search.core import Search
from tracker.data.images import resize
from tracker.data.readers import read_sequence
from tracker.data.synthetic import synthetic_sequence
from tracker.errors import InputError
from tracker.scorers.outputs import score_images
from vae import VAEError

SCORES = 1e-4
"""Tolerance of a score: the same images, in batches of other sizes."""


def begin(search, agent=None) -> Search:
    """A search of the same target with the same occluder, by the library's own functions."""
    models = search.models
    settings, features = getattr(agent, "settings", None), getattr(agent, "features", None)
    begun = Search(1, models.networks.scorer, features or models.networks.features, settings or models.settings)
    begun.begin(np.zeros(1, int), [search.target], [search.patch], drop=search.drop)
    return begun


def scores(search, regions) -> np.ndarray:
    return begin(search).scores(np.zeros(len(regions), int), regions)


def test_the_players_scores_are_the_matchers_of_what_is_shown(search):
    turn = search.game.place((0.1, 0.1, 0.5, 0.5))
    scorer, crop = search.models.networks.scorer, search.target.crop
    covered = occlude_image(resize(crop, scorer.input_size, scorer.input_size), search.patch, turn.region)
    (score,) = score_images(scorer, [search.target.exemplar], [covered])
    assert turn.score == pytest.approx(score, abs=0.005)
    assert search.clean == pytest.approx(search.score(search.target.crop), abs=SCORES)


def test_methods_are_compared_at_the_players_number_of_queries(search):
    for name in ("up", "fatter", "left", "left"):
        search.game.act(name)
    found = search.compare()
    assert [each.method for each in found] == list(COMPARED.values())
    results = dict(zip(COMPARED, found, strict=True))
    queries = search.game.queried()
    count = len(queries)
    assert count == 5
    *rest, whole = found
    assert all(each.queries == len(each.curve) <= count for each in rest)
    assert all((np.diff(each.curve) <= 0).all() for each in rest)

    # Each row against the library's own functions.
    models, limits = search.models, search.models.settings.limits
    expected = {"you": np.minimum.accumulate(scores(search, queries))}
    drawn = limits.random(np.full(RANDOM_DRAWS, limits.max_area), generator(SEED, search.target.id, "random"))
    expected["best of k random"] = best_of_k(scores(search, drawn)[None], count)[0]
    prior = models.fitted.prior
    expected["constant"] = scores(search, prior.regions[[prior.best]])
    climbed = Querying(HillClimbing, count).run(begin(search), np.zeros(1, int), [np.random.default_rng()])
    expected["hill climbing"] = climbed.curve[0]
    (episode,) = models.agent.find(begin(search, models.agent))
    expected["agent"] = episode_queries([episode]).curve[0, :count]
    (answer,) = BeliefSearch(models.fitted, queries=count).find(begin(search), [])
    grid = limits.grid(limits.max_area)
    every = scores(search, grid)
    rows = np.round(np.linspace(0, len(grid) - 1, count)).astype(int)
    expected["part"] = np.minimum.accumulate(every[rows])
    for name, curve in expected.items():
        np.testing.assert_allclose(results[name].curve, curve, atol=SCORES, err_msg=name)
    assert results["belief"].queries == count
    assert results["belief"].curve[-1] == pytest.approx(answer.scores[-1], abs=SCORES)
    assert whole.queries == len(grid) == 336
    assert whole.curve[-1] == pytest.approx(every.min(), abs=SCORES)
    assert pictures.draw_comparison(found, search.clean).shape[2] == 3


def test_the_map_and_the_belief_are_those_of_the_comparison(session):
    session.choose(session.index)
    search = session.search
    assert not search.map_known
    limits = search.models.settings.limits
    np.testing.assert_allclose(
        search.drops, search.clean - scores(search, limits.grid(limits.max_area)), atol=SCORES
    )
    assert search.map_known
    search.game.act("left")
    results = {each.method: each for each in search.compare()}
    count = len(search.game.queried())
    assert search.clean - search.trace.drops[:count].max() == pytest.approx(
        results["belief"].curve[-1], abs=SCORES
    )


def test_the_pictures_follow_the_search(search):
    before = pictures.draw_occluded(search)
    search.game.act("right")
    assert (pictures.draw_occluded(search) != before).any()
    steps = len(search.episode.actions)
    assert (pictures.draw_agent(search, 0) != pictures.draw_agent(search, steps)).any()
    assert (pictures.draw_belief(search, 1) != pictures.draw_belief(search, 5)).any()


def test_another_target_starts_the_search_anew(session):
    session.search.game.act("right")
    drops = session.search.drops
    session.choose(0)
    assert len(session.search.game.turns) == 1 and session.search.target.id == session.targets.ids[0]
    assert (session.search.drops != drops).any()


def test_a_manifold_is_learned_and_decoded(session):
    manifold = session.learn_manifold(3)
    plane = manifold.plane()
    assert manifold.codes.shape == (4, 2) and plane.shape == (1024, 1024, 3)
    # The middle of a tile decodes to the tile.
    x, y = 2.5 / 16, 13.5 / 16
    tile = plane[13 * 64 : 14 * 64, 2 * 64 : 3 * 64].astype(int)
    np.testing.assert_allclose(manifold.decode(x, y), tile, atol=1)
    code = manifold.model.generate(manifold.codes[[1]])[0].astype(int)
    np.testing.assert_allclose(manifold.decode(*manifold.positions()[1]), code, atol=1)
    assert -1 <= session.search.score(manifold.decode(x, y)) <= 1
    with pytest.raises(VAEError):
        session.learn_manifold(0)


def test_hard_positives_are_packed(session):
    file, positives = session.zip_hard_positives("belief", 2)
    with zipfile.ZipFile(file) as packed:
        names = packed.namelist()
        assert "hard_positives/metadata.jsonl" in names
        with Image.open(io.BytesIO(packed.read("hard_positives/000001.png"))) as image:
            np.testing.assert_array_equal(np.asarray(image), positives[0].image)
    assert len([name for name in names if name.endswith(".png")]) == len(positives) == 2


def test_a_sensitivity_map(models):
    session = Session(models, synthetic_sequence(9, frames=SPAN, material="drawings"))
    result, lost = session.stress("mil", 1)
    assert result.name == "mil" and 0 < result.occ_auc.mean < 1
    assert np.isfinite(lost).any() and np.nanmax(lost) > 0
    exemplar = session.search.target.exemplar
    assert (pictures.draw_map(exemplar, lost, "") != pictures.draw_map(exemplar, 0 * lost, "")).any()


def test_a_short_video_is_refused_by_the_stress_test(session):
    with pytest.raises(InputError, match="45 frames in a row"):
        session.stress("mil", 1)


def test_a_video_is_written_with_its_boxes_and_visibilities(make_video, tmp_path):
    video = make_video(3)
    read = read_sequence(write_got10k(tmp_path / "video", video))
    np.testing.assert_allclose(read.boxes, video.boxes, atol=1e-4)
    np.testing.assert_array_equal(read.frames[1], video.frames[1])
    assert (read.visibility == 1).all() and not len(possible_frames(read))


def test_the_videos_of_a_folder_are_offered(make_video, write_otb, tmp_path):
    write_otb(tmp_path / "bolt", make_video(3))
    choices = list_choices(tmp_path)
    assert list(choices) == ["bolt", "synthetic"] and not choices["bolt"].needs_box
    assert len(choices["bolt"].open("", lambda: None)) == 3
    assert choices["bolt"].first_frame().shape == (48, 64, 3)


def test_a_folder_of_images_needs_a_box(make_video, write_otb, tmp_path):
    video = make_video(3)
    frames = write_otb(tmp_path / "bolt", video) / "img"
    choice = list_choices(frames)["img"]
    assert choice == Choice(frames, needs_box=True)
    with pytest.raises(InputError, match="no box"):
        choice.open(" ", lambda: None)
    assert format_box(choice.first_frame(), video.boxes[0] / [64, 48, 64, 48]) == "21,16,16,12"


def test_a_path_that_is_none_is_refused(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        list_choices(tmp_path / "none")
