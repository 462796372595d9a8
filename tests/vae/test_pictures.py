"""Pictures that move, and images in rows."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from vae import VAE, VAEConfig, VAEError, traverse
from vae.pictures import Row, draw_rows, traversal_pictures, write_animation

ORANGE = (230, 110, 20)


def test_a_traversal_shows_the_decodes_beside_the_way(model: VAE) -> None:
    walk = traverse([[0.0, 0.0], [4.0, 1.0]], 5)
    pictures = traversal_pictures(model, walk, [[0.0, 0.0], [4.0, 1.0], [2.0, 3.0]], size=64)
    assert pictures.shape == (5, 64 + 22, 128, 3) and pictures.dtype == np.uint8
    decoded = cv2.resize(model.generate(walk[3:4])[0], (64, 64), interpolation=cv2.INTER_CUBIC)
    np.testing.assert_array_equal(pictures[3, 22:, :64], decoded)
    places = [np.argwhere((picture[22:, 64:] == ORANGE).all(axis=2)) for picture in pictures]
    assert places[0][:, 1].max() < 20 and places[4][:, 1].max() > 50
    down = places[4].mean(axis=0)[0] - places[0].mean(axis=0)[0]
    assert 8 < down < 18
    orange = [(picture[22:, 64:, 0].astype(int) - picture[22:, 64:, 2] > 50).sum() for picture in pictures]
    assert orange == sorted(orange) and orange[4] > orange[0] + 30


def test_a_traversal_of_more_dimensions_has_no_map() -> None:
    model = VAE(VAEConfig(image_size=8, hidden=4, latent=3))
    assert traversal_pictures(model, np.zeros((2, 3)), size=64).shape == (2, 86, 64, 3)


def test_a_traversal_that_goes_nowhere(model: VAE) -> None:
    assert traversal_pictures(model, np.ones((3, 2)), size=64).shape == (3, 86, 128, 3)


def gradients(n: int, height: int, width: int) -> np.ndarray:
    ramp = np.linspace(0, 200, width, dtype=np.uint8)
    return np.stack([np.broadcast_to((ramp + 10 * i)[None, :, None], (height, width, 3)) for i in range(n)])


def test_a_gif_holds_the_images(tmp_path: Path) -> None:
    images = gradients(4, 20, 30)
    write_animation(tmp_path / "walk.gif", images, fps=10)
    with Image.open(tmp_path / "walk.gif") as gif:
        assert (gif.n_frames, gif.size, gif.info["duration"], gif.info["loop"]) == (4, (30, 20), 100, 0)
        for i in range(4):
            gif.seek(i)
            assert np.abs(np.asarray(gif.convert("RGB")).astype(int) - images[i]).mean() < 4
    assert [file.name for file in tmp_path.iterdir()] == ["walk.gif"]


def test_an_mp4_holds_the_images_in_rgb(tmp_path: Path) -> None:
    images = np.zeros((6, 33, 47, 3), np.uint8)
    images[..., 0] = 200
    write_animation(tmp_path / "walk.mp4", images, fps=12)
    capture = cv2.VideoCapture(str(tmp_path / "walk.mp4"))
    shown = []
    while True:
        read, frame = capture.read()
        if not read:
            break
        shown.append(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
    assert len(shown) == 6 and shown[0].shape == (34, 48, 3)
    assert shown[3][..., 0].mean() > 150 > 60 > shown[3][..., 2].mean()
    assert [file.name for file in tmp_path.iterdir()] == ["walk.mp4"]


def test_rows_are_drawn(tmp_path: Path) -> None:
    red = np.zeros((3, 8, 8, 3), np.uint8)
    red[..., 0] = 255
    draw_rows(tmp_path / "rows.png", "title", [Row("red", red, ["a", "b", "c"]), Row("black", red * 0)])
    picture = np.asarray(Image.open(tmp_path / "rows.png").convert("RGB")).astype(int)
    middle = picture.shape[0] // 2
    is_red = (picture == [255, 0, 0]).all(axis=2)
    is_black = (picture == 0).all(axis=2)
    assert is_red[:middle].mean() > 0.2 and not is_red[middle:].any()
    assert is_black[middle:].mean() > 0.2


def test_bad_input_is_refused(model: VAE, tmp_path: Path) -> None:
    image = np.zeros((1, 8, 8, 3), np.uint8)
    with pytest.raises(VAEError, match="written as .gif or .mp4"):
        write_animation(tmp_path / "walk.avi", image)
    with pytest.raises(VAEError, match="An animation is made of"):
        write_animation(tmp_path / "walk.gif", image[:0])
    with pytest.raises(VAEError, match="An animation is made of"):
        write_animation(tmp_path / "walk.gif", image.astype(float))
    with pytest.raises(VAEError, match="An animation is made of"):
        write_animation(tmp_path / "walk.mp4", image, fps=0)
    with pytest.raises(VAEError, match="at least 1 code"):
        traversal_pictures(model, np.zeros((0, 2)))
    with pytest.raises(VAEError, match="64 pixels"):
        traversal_pictures(model, np.zeros((1, 2)), size=8)
    with pytest.raises(VAEError, match="one length"):
        draw_rows(tmp_path / "rows.png", "title", [Row("a", image), Row("b", np.repeat(image, 2, 0))])
    with pytest.raises(VAEError, match="one length"):
        draw_rows(tmp_path / "rows.png", "title", [])
    assert list(tmp_path.iterdir()) == []
