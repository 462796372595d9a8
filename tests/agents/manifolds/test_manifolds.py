"""From videos to manifolds and back into real frames, and the controls that samples are compared with."""

from __future__ import annotations

import numpy as np
import pytest

import vae
from agents.manifolds.bank import (
    find_videos,
    manifold_frames,
    match_colour,
    samples_as_sequence,
    target_crops,
    train_bank,
)
from agents.manifolds.controls import (
    PrincipalComponents,
    blur_motion,
    interpolate_crops,
    nearest_on_path,
    pairwise_distances,
)
from tracker.data.images import crop, resize
from tracker.data.sequences import ArrayFrames, Sequence
from tracker.errors import InputError

CODES = np.array([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]])
FRAMES = [1, 3, 4]


@pytest.fixture
def video(make_video):
    return make_video(frames=6)


def flat(value, n=1):
    return np.full((n, 64, 64, 3), value, np.uint8)


def test_a_sample_goes_to_the_box_of_the_nearest_code(video):
    images = np.concatenate([flat(10), flat(250), flat(30)])
    made = samples_as_sequence(video, FRAMES, CODES, images, [[1.9, 0], [0.1, 0], [0.8, 0]], feather=0)
    assert len(made) == 4 and made.name == "noise-0-samples" and made.box_source == "exact"
    np.testing.assert_array_equal(made.frames[0], video.frames[0])
    np.testing.assert_array_equal(made.exemplar(), video.exemplar())
    for index, (frame, value) in enumerate([(4, 10), (1, 250), (3, 30)], 1):
        np.testing.assert_array_equal(made.boxes[index], video.boxes[frame])
        assert (made.crop(index) == value).all()
        x, y, w, h = video.boxes[frame].astype(int)
        around, real = made.frames[index], video.frames[frame]
        around[y : y + h, x : x + w] = real[y : y + h, x : x + w]
        np.testing.assert_array_equal(around, real)
        assert made.frames.name(index) == video.frames.name(frame)


def test_size_goes_back_to_the_videos_own(video):
    image = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), dtype=np.uint8)
    made = samples_as_sequence(video, FRAMES, CODES, image, [[0.0, 0.0]], feather=0)
    np.testing.assert_allclose(made.crop(1).astype(int), resize(image[0], 16, 12), atol=1)


def test_a_soft_edge_blends_from_the_frame_to_the_sample(video):
    made = samples_as_sequence(video, FRAMES, CODES, flat(0), [[0.0, 0.0]], feather=0.25)
    shown, real = made.crop(1).astype(float), video.crop(1).astype(float)
    share = (1 - shown / real).mean(axis=2)
    # The box is 16 x 12 pixels, so the edge is 3 wide; pixel centres are half a pixel from the edge.
    np.testing.assert_allclose(share[6, :4], [0.5 / 3, 1.5 / 3, 2.5 / 3, 1], atol=0.02)
    np.testing.assert_allclose(share[:4, 8], [0.5 / 3, 1.5 / 3, 2.5 / 3, 1], atol=0.02)
    np.testing.assert_allclose(share, share[::-1, ::-1], atol=0.03)
    x, y, w, h = video.boxes[1].astype(int)
    outside = np.ones(made.frames[1].shape[:2], bool)
    outside[y : y + h, x : x + w] = False
    np.testing.assert_array_equal(made.frames[1][outside], video.frames[1][outside])


def test_a_target_at_the_border_is_cut_off():
    frames = ArrayFrames([np.zeros((20, 20, 3), np.uint8)] * 2)
    boxes = np.array([[5, 5, 8, 8], [-4, 14, 8, 8]], float)
    video = Sequence("edge", frames, boxes, np.ones(2), "made", "exact")
    made = samples_as_sequence(video, [1], [[0.0]], flat(200), [[0.0]], feather=0)
    expected = np.zeros((20, 20, 3), np.uint8)
    expected[14:, :4] = 200
    np.testing.assert_array_equal(made.frames[1], expected)


def test_colour_goes_back_to_the_videos_own(video):
    pale = (np.random.default_rng(0).integers(0, 40, (1, 64, 64, 3)) + 100).astype(np.uint8)
    made = samples_as_sequence(video, FRAMES, CODES, pale, [[1.0, 0.0]], feather=0, colour="frame")
    real, shown = video.crop(3).reshape(-1, 3).astype(float), made.crop(1).reshape(-1, 3).astype(float)
    np.testing.assert_allclose(shown.mean(0), real.mean(0), atol=3)
    matched = match_colour(pale[0], video.crop(3)).reshape(-1, 3).astype(float)
    assert pale.std() < 0.7 * real.std()
    np.testing.assert_allclose(matched.std(0), real.std(0), rtol=0.05)
    grey = match_colour(flat(7)[0], video.crop(3))
    np.testing.assert_allclose(grey[0, 0], real.mean(0), atol=0.51)


def test_bad_samples_are_refused(video):
    for arguments, words in [
        ((FRAMES, CODES, flat(0, 2), [[0.0, 0.0]]), "as many codes"),
        ((FRAMES[:2], CODES, flat(0), [[0.0, 0.0]]), "as many codes"),
        ((FRAMES, CODES, flat(0, 0), np.zeros((0, 2))), "at least 1"),
        (([1, 3, 9], CODES, flat(0), [[0.0, 0.0]]), "no target in frame 9"),
        ((FRAMES, CODES, np.full((1, 64, 64, 3), np.nan), [[0.0, 0.0]]), "A sample is float64"),
    ]:
        with pytest.raises(InputError, match=words):
            samples_as_sequence(video, *arguments)
    with pytest.raises(InputError, match="feather"):
        samples_as_sequence(video, FRAMES, CODES, flat(0), [[0.0, 0.0]], feather=0.6)
    with pytest.raises(InputError, match="colour"):
        samples_as_sequence(video, FRAMES, CODES, flat(0), [[0.0, 0.0]], colour="blue")
    with pytest.raises(vae.VAEError, match="Codes must be"):
        samples_as_sequence(video, FRAMES, CODES, flat(0), [[0.0, 0.0, 0.0]])


def test_crops_and_frames(video):
    assert manifold_frames(video).tolist() == [0, 1, 2, 3, 4, 5]
    assert manifold_frames(video, "training").tolist() == [1, 2, 3]
    assert manifold_frames(video, max_crops=2).tolist() == [0, 5]
    crops = target_crops(video, [2, 5], 16)
    np.testing.assert_array_equal(crops[1], crop(video.frames[5], video.boxes[5], 16))
    assert target_crops(video, [0]).shape == (1, 64, 64, 3)
    with pytest.raises(InputError, match="at least 1"):
        target_crops(video, [])


def test_videos_are_found_by_name(tmp_path, make_video, write_otb):
    for name, seed in (("b", 0), ("a", 1)):
        write_otb(tmp_path / "set" / name, make_video(seed=seed))
    assert list(find_videos(tmp_path / "set")) == ["a", "b"]
    assert list(find_videos(tmp_path / "set", ["b"])) == ["b"]
    assert find_videos(tmp_path / "set" / "a") == {"a": tmp_path / "set" / "a"}
    with pytest.raises(InputError, match="no sequence c; it has a, b"):
        find_videos(tmp_path / "set", ["c"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError):
        find_videos(tmp_path / "empty")


def test_a_bank_is_trained_over_sequences_and_survives_a_broken_one(tmp_path, make_video, write_otb):
    for name, seed in (("a", 0), ("b", 1), ("c", 2)):
        write_otb(tmp_path / "set" / name, make_video(frames=7, seed=seed))
    (tmp_path / "set" / "b" / "img" / "0003.png").write_bytes(b"broken")
    bank = vae.VAEBank(tmp_path / "bank")
    settings = {
        "choice": "training",
        "model_config": vae.VAEConfig(image_size=8, hidden=8),
        "training": vae.TrainingConfig(epochs=2),
        "progress": False,
    }
    report = train_bank(bank, find_videos(tmp_path / "set"), **settings)
    assert report.trained == ("a", "c") and "0003.png" in report.failed["b"]
    assert bank.record("a").notes["frames"] == [1, 2, 3, 4]
    assert bank.record("a").images == 4
    again = train_bank(bank, find_videos(tmp_path / "set"), **settings)
    assert again.trained == () and again.skipped == ("a", "c")


def test_principal_components_are_the_best_plane():
    rng = np.random.default_rng(0)
    axes = np.linalg.qr(rng.normal(size=(48, 2)))[0].T
    codes = rng.normal(size=(60, 2)) * [90, 40]
    images = np.clip(np.rint(128 + codes @ axes), 0, 255).astype(np.uint8).reshape(60, 4, 4, 3)
    fitted = PrincipalComponents.fit(images, 2)
    assert np.abs(fitted.reconstruct(images).astype(int) - images).max() <= 1
    flat_ones = PrincipalComponents.fit(images, 1).reconstruct(images)
    lost = np.square(flat_ones.astype(float) - images).sum() / np.square(images - images.mean(0)).sum()
    assert lost == pytest.approx(40**2 / (90**2 + 40**2), abs=0.07)
    drawn = fitted.sample(4000, rng)
    assert drawn.astype(float).var(0).mean() == pytest.approx(images.astype(float).var(0).mean(), rel=0.1)
    assert (
        fitted.sample(2, np.random.default_rng(1)).tolist() == fitted.sample(2, np.random.default_rng(1)).tolist()
    )


def test_one_image_has_no_principal_direction():
    one = PrincipalComponents.fit(flat(77), 2)
    assert (one.sample(3, np.random.default_rng(0)) == 77).all() and (one.reconstruct(flat(9)) == 77).all()


def test_blends_are_between_neighbours_in_time():
    images = np.concatenate([flat(0), flat(100), flat(240)])
    blends = interpolate_crops(images, 400, np.random.default_rng(0))
    values = blends[:, 0, 0, 0].astype(int)
    assert (blends == blends[:, :1, :1, :1]).all()
    assert values.min() < 10 and values.max() > 225
    assert (values < 100).mean() == pytest.approx(0.5, abs=0.1)
    assert (interpolate_crops(images[:1], 2, np.random.default_rng(0)) == 0).all()


def test_the_nearest_blend_is_at_most_as_far_as_the_nearest_crop():
    images = np.concatenate([flat(0), flat(100), flat(240)])
    assert nearest_on_path(np.concatenate([flat(50), flat(170), flat(255)]), images)[:, 0, 0, 0].tolist() == [
        50,
        170,
        240,
    ]
    rng = np.random.default_rng(0)
    path = rng.integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
    asked = rng.integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
    found = pairwise_distances(nearest_on_path(asked, path), asked).diagonal()
    assert (found < pairwise_distances(asked, path).min(axis=1)).all()
    np.testing.assert_array_equal(nearest_on_path(asked, path[:1]), np.repeat(path[:1], 4, axis=0))


def test_a_motion_blur_keeps_the_mean_and_smooths():
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    blurred = blur_motion(images, 12, np.random.default_rng(0))
    assert blurred.shape == (12, 64, 64, 3)
    assert blurred.mean() == pytest.approx(images.mean(), abs=2)
    assert (blurred.astype(float).var(axis=(1, 2, 3)) < 0.5 * images.astype(float).var()).all()
    dot = np.zeros((1, 64, 64, 3), np.uint8)
    dot[0, 32, 32] = 255
    for image in blur_motion(dot, 8, np.random.default_rng(1)):
        rows, columns = np.nonzero(image[..., 0])
        length = np.hypot(np.ptp(rows), np.ptp(columns))
        assert 2 <= length <= 18
        spread = np.linalg.eigvalsh(np.cov(rows, columns, aweights=image[rows, columns, 0]))
        assert spread[0] < 0.6 < spread[1]


def test_distances_are_root_mean_squares():
    a, b = np.concatenate([flat(0), flat(51)]), np.concatenate([flat(51), flat(255), flat(0)])
    np.testing.assert_allclose(pairwise_distances(a, b), [[0.2, 1, 0], [0, 0.8, 0.2]], atol=1e-12)
    with pytest.raises(InputError, match="no distance"):
        pairwise_distances(a, np.zeros((1, 8, 8, 3), np.uint8))
