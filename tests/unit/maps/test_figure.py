"""What a figure of maps holds: every map over its own image, in its proportions, on the scale that its bar names."""

import numpy as np
import pytest
from PIL import Image

from promptmlr.maps.figure import WIDTH, Overlay, Strip, agreement_chart, overlay_figure, shown_pixels
from promptmlr.maps.means import agreements
from promptmlr.report.figures import figure_png
from promptmlr.report.overlays import grid_of


def strip(shape: tuple[int, int], *overlays: Overlay) -> Strip:
    return Strip(np.full((*shape, 3), 90, dtype=np.uint8), "an image\nand more", overlays)


def test_a_grid_is_read_row_by_row_without_the_global_region() -> None:
    np.testing.assert_array_equal(grid_of(np.arange(10.0)), [[1, 2, 3], [4, 5, 6], [7, 8, 9]])


def test_maps_are_stretched_over_their_image_and_share_a_scale() -> None:
    low, high = np.full((2, 2), -3.0), np.array([[1.0, 2.0], [3.0, 8.0]])
    figure = overlay_figure([strip((20, 50), Overlay("a", low, "S")), strip((40, 10), Overlay("b", high, "S"))])
    drawn = [axes for axes in figure.axes if len(axes.images) == 2]
    assert [axes.get_title() for axes in drawn] == ["a", "b"]
    for axes, grid, extent in zip(drawn, (low, high), ((0, 50, 20, 0), (0, 10, 40, 0)), strict=True):
        photo, heat = axes.images
        assert tuple(photo.get_extent()) == tuple(heat.get_extent()) == extent
        np.testing.assert_array_equal(heat.get_array(), grid)
        assert heat.get_clim() == (-3.0, 8.0)
    assert [axes.get_ylabel() for axes in figure.axes if axes.get_ylabel()] == ["S"]


def test_each_scale_has_its_bar() -> None:
    overlays = Overlay("a", np.array([[0.0, 1.0]]), "cosine"), Overlay("b", np.array([[5.0, 9.0]]), "score")
    figure = overlay_figure([strip((10, 10), *overlays)])
    assert [axes.get_ylabel() for axes in figure.axes if axes.get_ylabel()] == ["cosine", "score"]
    assert [axes.images[1].get_clim() for axes in figure.axes if len(axes.images) == 2] == [(0, 1), (5, 9)]


@pytest.mark.parametrize("shape", [(4, 900), (900, 4), (30, 30)])
def test_any_proportions_and_any_words_can_be_drawn(shape: tuple[int, int]) -> None:
    title = "from $5_ to $6^ each, " * 4  # no formula
    content = figure_png(overlay_figure([strip(shape, Overlay(title, np.zeros((3, 3)), "S"))]), WIDTH)
    assert content.startswith(b"\x89PNG")


def test_a_title_stays_above_its_image() -> None:
    long = Overlay("many words about a thing " * 8, np.zeros((2, 2)), "S")
    figure = overlay_figure([strip((10, 10), Overlay("short", np.zeros((2, 2)), "S")), strip((10, 10), long)])
    figure.canvas.draw()
    axes = [one for one in figure.axes if one.images]
    above = axes[1].get_window_extent()
    title = axes[3].title.get_window_extent()
    assert title.y1 < above.y0
    assert axes[0].title.get_window_extent().y1 <= figure.bbox.y1


def test_large_images_are_made_smaller_in_their_proportions() -> None:
    assert shown_pixels(Image.new("RGB", (3200, 1000))).shape == (250, 800, 3)
    assert shown_pixels(Image.new("RGB", (31, 20))).shape == (20, 31, 3)


def test_chart_shows_every_class_with_its_reference() -> None:
    measured = np.random.default_rng(0).random((30, 2, 4))
    labels = np.array([[1, 0], [0, 0]] * 15, dtype=np.int8)  # no image of a cat
    axes = agreement_chart(agreements(measured, labels, ("dog", "cat"), 50)).axes[0]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["dog", "cat"]
    by_label = {line.get_label(): line.get_xdata() for line in axes.lines}
    assert by_label["class present"][0] == pytest.approx(measured[::2, 0, 0].mean())
    assert np.isnan(by_label["class present"][1])
    assert by_label["other classes' maps, class absent"] == pytest.approx(
        [measured[1::2, 0, 2].mean(), measured[:, 1, 2].mean()]
    )
