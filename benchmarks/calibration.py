"""How often combined p-values are small where there is nothing to be found.

Layers of units are simulated whose lesions do harm: that of a sub-cluster is the sum of its units'
and some of its own. Sub-clusters are permutations of labels; a network's true ones are one of them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import scipy.stats
from numpy.typing import NDArray

from nn_clustering.seeds import generator
from nn_clustering.significance import p_value_of_sum

if TYPE_CHECKING:
    import pandas

LEVELS = (0.05, 0.01, 0.001, 0.0001)
DRAWS = (19, 99, 199)
LAYERS = (1, 2, 4, 8, 12)
CLUSTERS = (2, 3, 4, 10, 30, 100)
TABLE = Path(__file__).parents[1] / "docs" / "calibration.csv"

# Permutations of a layer's labels; a test takes 20, 100 or all 200 of them.
_N_STATES = 200
# Enough that a p-value of 0.05 is too large by 3% at most, with 12 layers.
_N_STEPS = 2**13
# Transforms err by less.
_ROUNDING = 1e-6
_FIELDS = ("sums", "variances", "n_telling")


@dataclass(frozen=True)
class Harm:
    """What lesions cost: of single units, and how much more or less a sub-cluster's costs.

    Attributes:
        of_units: Draws the harm of so many units.
        noise: What a lesion costs beside that of its units, in standard deviations of those.
    """

    of_units: Callable[[np.random.Generator, int], NDArray[np.float64]]
    noise: float = 0.0


HARMS = {
    "normal": Harm(lambda random, n: random.normal(size=n)),
    "Pareto": Harm(lambda random, n: random.pareto(1.5, n), noise=0.1),
    "Cauchy": Harm(lambda random, n: random.standard_cauchy(n)),
    # most sub-clusters do no harm, or as much as others
    "tied": Harm(lambda random, n: (random.random(n) < 0.05).astype(float)),
    # what one sub-cluster of a layer has the others lack, but for this noise
    "mirrored": Harm(lambda random, n: random.normal(size=n), noise=0.02),
}


@dataclass(frozen=True, eq=False)
class Pool:
    """Simulated tests of single layers, of which networks of several layers are made.

    Attributes:
        sums: The layers' sums of scores, the first of the true labels, shape (tests, draws + 1).
        variances: Sum over the sub-clusters of the variance of their scores, shape (tests,).
        n_telling: Sub-clusters whose states are not all equal, shape (tests,).
    """

    sums: NDArray[np.int64]
    variances: NDArray[np.float64]
    n_telling: NDArray[np.int64]

    def networks(self, n_layers: int) -> NDArray[np.int64]:
        """Return the numbers of networks' layers, each in one network; (networks, layers)."""
        n_networks = len(self.sums) // n_layers
        return np.arange(n_networks * n_layers).reshape(n_networks, n_layers)


def simulated_layers(
    harm: Harm, n_clusters: int, n_layers: int, random: np.random.Generator
) -> NDArray[np.float64]:
    """Return what lesions cost, shape (layers, clusters, states): a state is one permutation."""
    n_units = max(32, 4 * n_clusters)
    found = np.empty((n_layers, n_clusters, _N_STATES))
    for of_layer in found:
        sizes = 1 + random.multinomial(n_units - n_clusters, np.full(n_clusters, 1 / n_clusters))
        units = random.permuted(np.tile(harm.of_units(random, n_units), (_N_STATES, 1)), axis=1)
        of_layer[:] = np.add.reduceat(units, np.cumsum(sizes) - sizes, axis=1).T
    spread = found.std(axis=2, keepdims=True)
    return found + harm.noise * spread * random.normal(size=found.shape)


def pools_of(
    harm: str, n_clusters: int, n_layers: int, n_draws: Sequence[int] = DRAWS, seed: int = 0
) -> dict[int, Pool]:
    """Simulate layers, and return the tests of so many draws each that they make."""
    random = generator(seed, "calibration", harm, n_clusters)
    parts: dict[int, list[Pool]] = {n: [] for n in n_draws}
    n_together = max(1, 20_000 // n_clusters)
    for start in range(0, n_layers, n_together):
        layers = simulated_layers(
            HARMS[harm], n_clusters, min(n_together, n_layers - start), random
        )
        for n in n_draws:
            parts[n].append(_pool(layers, n))
    return {
        n: Pool(*(np.concatenate([getattr(one, name) for one in found]) for name in _FIELDS))
        for n, found in parts.items()
    }


def _pool(layers: NDArray[np.float64], n_draws: int) -> Pool:
    """Return the tests of so many draws that layers' states make."""
    n_clusters, n_states = layers.shape[1], n_draws + 1
    tests = layers.reshape(len(layers), n_clusters, -1, n_states).swapaxes(1, 2)
    flat = tests.reshape(-1, n_states)
    scores = scipy.stats.norm.ppf((scipy.stats.rankdata(flat, axis=1) - 0.5) / n_states)
    of_tests = np.rint(scores * 1e9).astype(np.int64).reshape(-1, n_clusters, n_states)
    variances = scores.var(axis=1).reshape(-1, n_clusters)
    telling = np.ptp(flat, axis=1).reshape(-1, n_clusters) > 0
    return Pool(of_tests.sum(axis=1), variances.sum(axis=1), telling.sum(axis=1))


def joint_p_values(sums: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the joint p-values of networks; of those above 0.05, numbers that are not larger.

    Args:
        sums: Of the scores of each layer, shape (networks, layers, draws + 1).
    """
    found = _lower_bounds(sums)
    found[np.ptp(sums, axis=2).max(axis=1) == 0] = 1
    for number in np.flatnonzero(found <= max(LEVELS) + _ROUNDING):
        found[number] = p_value_of_sum(sums[number], n_steps=_N_STEPS)
    return found


def _lower_bounds(sums: NDArray[np.int64], n_steps: int = 2000) -> NDArray[np.float64]:
    """Return what p-values are not below, of all at once: by Fourier transforms, on few steps."""
    n_networks, n_layers, n_states = sums.shape
    above = (sums - sums.min(axis=2, keepdims=True)).astype(float)
    reach = above.max(axis=2).sum(axis=1)
    steps = np.rint(above * (n_steps / np.maximum(reach, 1))[:, None, None]).astype(np.int64)
    length = 2 ** int(np.ceil(np.log2(n_steps + n_layers + 1)))
    spectrum = np.ones((n_networks, length // 2 + 1), complex)
    first = np.arange(n_networks)[:, None] * length
    for layer in range(n_layers):
        places = (first + steps[:, layer]).ravel()
        counts = np.bincount(places, minlength=n_networks * length)
        spectrum *= np.fft.rfft(counts.reshape(n_networks, length) / n_states, axis=1)
    chances = np.fft.irfft(spectrum, length, axis=1)
    true = steps[:, :, 0].sum(axis=1)
    # each layer may be half a step too low in the true sum, and half a step too high in the other
    reached = np.arange(length) >= true[:, None] + n_layers
    found: NDArray[np.float64] = (chances * reached).sum(axis=1)
    return found


def student_p_values(pool: Pool, networks: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return p-values as they were before: by Student's t of the sum over all sub-clusters.

    They allowed for nothing but the number of draws, so that they could lie far below 1/(n + 1). Of
    a single sub-cluster, and where ties took more than 0.4 of the scores' variance, they were those
    of ranks; where all states are equally extreme there was none, which is 1 here.

    Args:
        pool: The tests of single layers.
        networks: The numbers of each one's layers, shape (networks, layers).
    """
    totals = pool.sums[networks].sum(axis=1) / 1e9
    n_states = totals.shape[1]
    of_draws = totals[:, 1:]
    reached = (of_draws >= totals[:, :1] - 1e-7).sum(axis=1)
    width = of_draws.std(axis=1, ddof=1) * np.sqrt(1 + 1 / (n_states - 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        t = (totals[:, 0] - of_draws.mean(axis=1)) / width
        n_telling = pool.n_telling[networks].sum(axis=1)
        untied = scipy.stats.norm.ppf((np.arange(n_states) + 0.5) / n_states).var()
        tied = 1 - pool.variances[networks].sum(axis=1) / n_telling / untied
    by_rank = (n_telling == 1) | (np.ptp(of_draws, axis=1) < 1e-7) | (tied > 0.4)
    p = np.where(by_rank, (reached + 1) / n_states, scipy.stats.t.sf(t, n_states - 2))
    return np.where(np.ptp(totals, axis=1) < 1e-7, 1.0, p)


def counted(pool: Pool, n_layers: int) -> dict[str, NDArray[np.int64]]:
    """Count p-values at most as large as each level, shape (levels,), of both methods."""
    found = {"joint": np.zeros(len(LEVELS), int), "student": np.zeros(len(LEVELS), int)}
    all_networks = pool.networks(n_layers)
    for networks in np.array_split(all_networks, -(-len(all_networks) // 1000)):
        p_values = {
            "joint": joint_p_values(pool.sums[networks]),
            "student": student_p_values(pool, networks),
        }
        for method, p in p_values.items():
            found[method] += (p[:, None] <= np.array(LEVELS) * (1 + 1e-9)).sum(axis=0)
    return found


@dataclass(frozen=True, eq=False)
class Calibration:
    """How often p-values are small, for all that was simulated.

    Attributes:
        cells: One row for each kind of harm, number of clusters, draws and layers, and level; with
            ``networks``, and how many of them are at that level for ``joint`` and ``student``.
    """

    cells: pandas.DataFrame

    def __str__(self) -> str:
        """Two tables in Markdown: rates divided by nominal ones, over all and at worst."""
        parts = [
            "Observed divided by nominal, over all cells; in brackets what it is at least in one\n",
            self._table(["draws", "layers"]),
            self._table(["harm", "clusters"]),
        ]
        return "\n".join(parts)

    def _table(self, keys: list[str]) -> str:
        lines = [[*keys, *(f"{m} {level:g}" for m in _METHODS for level in LEVELS)]]
        lines.append(["---"] * len(lines[0]))
        for names, rows in self.cells.groupby(keys, sort=False):
            shown = [_rates(rows[rows["level"] == level], m) for m in _METHODS for level in LEVELS]
            lines.append([*map(str, names), *shown])
        return "".join("| " + " | ".join(line) + " |\n" for line in lines)


_METHODS = ("joint", "student")


def _rates(rows: pandas.DataFrame, method: str) -> str:
    """Return observed by nominal of all cells, and what it surely is at least in one of them.

    The latter is the largest lower limit of Clopper and Pearson's, with a confidence of 0.999: of
    30 cells without any excess it is below 1 in 97 of 100 cases.
    """
    counts, networks = rows[method].to_numpy(), rows["networks"].to_numpy()
    expected = (networks * rows["level"]).sum()
    lowest = scipy.stats.beta.ppf(0.001, counts, networks - counts + 1)
    at_least = np.where(counts > 0, lowest, 0.0) / rows["level"].to_numpy()
    return f"{counts.sum() / expected:.2f} ({at_least.max():.2f})"


def calibrate(
    harms: Sequence[str] = tuple(HARMS),
    clusters: Sequence[int] = CLUSTERS,
    draws: Sequence[int] = DRAWS,
    layers: Sequence[int] = LAYERS,
    *,
    n_simulated: int = 3_000,
) -> Calibration:
    """Simulate networks without effects, and count their small p-values.

    Networks are independent of each other: no layer is in two networks of one kind.

    Args:
        harms: Which of :data:`HARMS`.
        clusters: Numbers of sub-clusters in each layer.
        draws: Numbers of random draws.
        layers: Numbers of layers.
        n_simulated: Layers that are simulated, each with 200 permutations; fewer, by the root of
            their number, of more than five clusters.
    """
    import pandas

    rows = []
    for harm, n_clusters in itertools.product(harms, clusters):
        n = int(n_simulated * min(1, (5 / n_clusters) ** 0.5))
        for n_draws, pool in pools_of(harm, n_clusters, n, draws).items():
            for n_layers in layers:
                found = counted(pool, n_layers)
                size = len(pool.sums) // n_layers
                rows += [
                    (harm, n_clusters, n_draws, n_layers, level, size, joint, student)
                    for level, joint, student in zip(
                        LEVELS, found["joint"], found["student"], strict=True
                    )
                ]
    names = ["harm", "clusters", "draws", "layers", "level", "networks", *_METHODS]
    return Calibration(pandas.DataFrame(rows, columns=names))


def benchmark_calibration() -> Calibration:
    """Simulate all, and store the table that the documentation shows."""
    found = calibrate()
    found.cells.to_csv(TABLE, index=False)
    return found
