"""Colours of clusters stay apart, for readers without red or green cones too."""

from itertools import pairwise

import colour
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from nn_clustering.reports import ISOLATED_COLOUR, cluster_colours, cluster_hatches

# From linear red, green and blue to what is seen of them: Machado et al. 2009, of no cones of one
# kind; and Viénot et al. 1999, through the responses of the three kinds of cones.
CONES = np.array(
    [[17.8824, 43.5161, 4.11935], [3.45565, 27.1554, 3.86714], [0.0299566, 0.184309, 1.46709]]
)
WITHOUT_RED = [[0, 2.02344, -2.52581], [0, 1, 0], [0, 0, 1]]
WITHOUT_GREEN = [[1, 0, 0], [0.494207, 0, 1.24827], [0, 0, 1]]
VISIONS = {
    "normal": np.eye(3),
    "deuteranopia": colour.matrix_cvd_Machado2009("Deuteranomaly", 1),
    "protanopia": colour.matrix_cvd_Machado2009("Protanomaly", 1),
    "deuteranopia, Viénot": np.linalg.inv(CONES) @ WITHOUT_GREEN @ CONES,
    "protanopia, Viénot": np.linalg.inv(CONES) @ WITHOUT_RED @ CONES,
}
# Of this it is said that one sees it at a glance; 1 is just to be seen side by side.
CLEAR = 10


def differences(colours, vision):
    """CIEDE2000 between each two colours, as they are seen."""
    linear = colour.models.eotf_sRGB(np.array([to_rgb(one) for one in colours]))
    seen = np.clip(linear @ VISIONS[vision].T, 0, 1)
    space = colour.RGB_COLOURSPACES["sRGB"]
    lab = colour.XYZ_to_Lab(seen @ space.matrix_RGB_to_XYZ.T, space.whitepoint)
    return colour.delta_E(lab[:, None], lab[None], method="CIE 2000")


def least(colours, vision):
    found = differences(colours, vision)
    return found[~np.eye(len(colours), dtype=bool)].min()


@pytest.mark.parametrize("vision", VISIONS)
@pytest.mark.parametrize(
    # Colours of matplotlib, which clusters had before, have 1.3 from three clusters on, and had
    # 0.2 at 32: what the palette must not come back to.
    ("n_clusters", "difference"),
    [(2, 50), (3, 30), (4, 20), (5, 20), (6, 19.9), (7, 19.9), (8, 19.9)],
)
def test_eight_clusters_are_told_apart_by_colour(vision, n_clusters, difference):
    assert least(cluster_colours(n_clusters), vision) >= difference


@pytest.mark.parametrize("vision", VISIONS)
def test_isolated_units_are_told_apart_and_paper_is_not_a_colour(vision):
    eight = cluster_colours(8)
    assert differences([ISOLATED_COLOUR, *eight], vision)[0, 1:].min() >= 17
    assert differences(["white", *eight], vision)[0, 1:].min() >= 20
    assert differences(["#b0b0b0", *eight], vision)[0, 1:].min() >= CLEAR  # edges between clusters


@pytest.mark.parametrize("vision", VISIONS)
def test_bands_that_shine_through_are_told_apart(vision):
    bands = [0.75 * np.array(to_rgb(one)) + 0.25 for one in cluster_colours(8)]
    assert least(bands, vision) >= 15


@pytest.mark.parametrize("n_clusters", [*range(33), 64, 200])
def test_no_two_clusters_look_alike(n_clusters):
    """Of two clusters, the hatch differs, or else the colour, clearly, in every vision."""
    colours, hatches = cluster_colours(n_clusters), cluster_hatches(n_clusters)
    assert len(colours) == len(hatches) == n_clusters
    assert cluster_hatches(8) == [""] * 8
    assert len(set(zip(colours, hatches, strict=True))) == n_clusters
    for hatch in set(hatches):
        alike = [one for one, other in zip(colours, hatches, strict=True) if other == hatch]
        assert len(set(alike)) == len(alike) <= 8
    assert all(one != other for one, other in pairwise(colours))  # they lie side by side
    assert colours == cluster_colours(n_clusters + 1)[:-1]


@pytest.mark.parametrize("one", cluster_colours(8))
def test_none_is_grey(one):
    assert np.ptp(one[:3]) > 0.25
