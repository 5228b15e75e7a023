"""Tables of a study: means by plain arithmetic, and exactly what people read of them."""

import dataclasses
import shutil
import subprocess

import numpy as np
import pandas
import pytest

from nn_clustering.reports import LESIONS, StudyTable, studied_network, study_tables
from nn_clustering.significance import bates_combination, benjamini_hochberg
from tests.reports.stored_study import (
    CLUSTERINGS,
    INPUTS,
    LESIONS as LESION_STEP,
    NETWORKS,
    PUBLISHED,
    SHUFFLES,
    StoredCells,
)

MARKDOWN = """\
| train | phase | networks | accuracy | n-cut | null mean | z | largest p |
| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |
| MLP | unpruned | 2 | 0.9650 ± 0.0071 (0.98) | 10.250 ± 0.354 (10.024) | 11.500 ± 0.707 | -3.0 \
| 0.3 |
| MLP | pruned | 2 | 0.9550 ± 0.0071 | 9.250 ± 0.354 | 11.500 ± 0.707 | undefined \
| 0.02 (1 fragile) |
| MLP, 50% dropout | unpruned | 2 | 0.9650 ± 0.0071 | 10.250 ± 0.354 | 11.000 | -2.0 \
| 0.3 (1 of 2 tested) |
| MLP, 50% dropout | pruned | 1 | 0.9500 | 9.000 | - | - | - |

Mean ± standard deviation over networks, published means in brackets.

Fragile is a verdict that another seed or k-means start of the clustering turns.
"""
LATEX = r"""% in the preamble: \usepackage{booktabs,graphicx}
\begin{table}
  \centering
  \caption{small\_study \& more: n-cut beside the null distribution.}
  \label{tab:clusterability}
  \footnotesize
  \resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%
  \begin{tabular}{llrrrrrr}
    \toprule
    train & phase & networks & accuracy & n-cut & null mean & z & largest p \\
    \midrule
    MLP & unpruned & 2 & 0.9650 $\pm$ 0.0071 (0.98) & 10.250 $\pm$ 0.354 (10.024) & 11.500 $\pm$ 0.707 & $-$3.0 & 0.3 \\
    MLP & pruned & 2 & 0.9550 $\pm$ 0.0071 & 9.250 $\pm$ 0.354 & 11.500 $\pm$ 0.707 & undefined & 0.02 (1 fragile) \\
    MLP, 50\% dropout & unpruned & 2 & 0.9650 $\pm$ 0.0071 & 10.250 $\pm$ 0.354 & 11.000 & $-$2.0 & 0.3 (1 of 2 tested) \\
    MLP, 50\% dropout & pruned & 1 & 0.9500 & 9.000 & - & - & - \\
    \bottomrule
  \end{tabular}}
  \par\smallskip {\scriptsize Mean $\pm$ standard deviation over networks, published means in brackets.\par}
  \par\smallskip {\scriptsize Fragile is a verdict that another seed or k-means start of the clustering turns.\par}
\end{table}
"""  # noqa: E501


@pytest.fixture
def stored(store):
    """All of a study but the last condition's second clustering, and three shuffle tests."""
    made = StoredCells(
        store.database, NETWORKS, CLUSTERINGS, SHUFFLES,
        title="small_study & more", published=[PUBLISHED],
    )  # fmt: skip
    clusterings, tests = (
        [cell.name for cell in made.cells if cell.stage == stage]
        for stage in ("cluster", "shuffle_test")
    )
    return made.add_all(but=[clusterings[-1], *tests[-3:]])


def test_clusterability_as_it_is_read(store, stored):
    (table,) = study_tables(stored.results(store), store)
    assert (table.markdown(), table.latex()) == (MARKDOWN, LATEX)


def test_clusterability_in_numbers(store, stored):
    (table,) = study_tables(stored.results(store), store)
    lines = table.csv().splitlines()
    assert lines[0] == (
        "train,phase,n_networks,n_clusterings,n_tested,accuracy,accuracy_std,accuracy_published,"
        "ncut,ncut_std,ncut_published,shuffled_mean,shuffled_mean_std,shuffled_mean_published,"
        "shuffled_std,shuffled_std_std,shuffled_std_published,z_score,z_score_std,"
        "z_score_published,largest_p_value,n_fragile"
    )
    assert lines[-1] == '"MLP, 50% dropout",pruned,1,1,0,0.95,,,9.0,,,,,,,,,,,,,'
    first = table.rows.iloc[0]
    assert first["ncut_std"] == pytest.approx(0.5 / 2**0.5)
    assert (first["z_score"], first["z_score_std"]) == (-3.0, pytest.approx(2 / 2**0.5))
    assert (first["ncut_published"], first["n_fragile"]) == (10.024, 0)


def test_networks_count_once_however_often_they_are_clustered(store):
    clusterings = {**CLUSTERINGS, "seeds": [5, 6, 7], "grid": {"phase": ["pruned"]}}
    networks = {**NETWORKS, "seeds": [0, 1]}
    made = StoredCells(store.database, networks, clusterings).add_all()
    dropout = made.results(store).networks["label.train"] == "MLP, 50% dropout"
    results = made.results(store)
    # of the first condition's networks, a single one, with three n-cuts
    kept = results.networks[dropout | (results.networks["train_run"] == 1)].copy()
    kept.loc[~dropout, "ncut"] = [8.0, 9.0, 13.0]
    (table,) = study_tables(dataclasses.replace(results, networks=kept), store)
    single, several = table.rows.to_dict("records")
    counts = ("n_networks", "n_clusterings")
    assert [single[key] for key in counts] == [1, 3]
    assert (single["ncut"], single["ncut_std"]) == (10.0, pytest.approx(7**0.5))
    assert [several[key] for key in counts] == [2, 6]
    assert (several["ncut"], several["ncut_std"]) == (9.25, pytest.approx(0.5 / 2**0.5))
    assert "counts once, with its mean" in table.markdown()
    assert "null mean" not in table.markdown()  # nothing was shuffled


def test_lesions_by_condition_of_the_study(store):
    published = {"of": {"phase": "pruned"}, "importance_p": 0.25}
    made = StoredCells(
        store.database, NETWORKS, CLUSTERINGS, LESION_STEP, published=[published]
    ).add_all()
    results = made.results(store)
    _, table = study_tables(results, store, n_resamples=99)
    networks = [
        studied_network(store, results.runs[run], LESIONS) for run in results.networks["lesion_run"]
    ]
    joint = np.array([one.summaries["importance"]["joint_p"] for one in networks])
    expected = [bates_combination(joint[places]) for places in ([0, 2], [1, 3], [4, 6], [5, 7])]
    # networks come seed by seed: both phases of the first, then of the second
    assert table.rows["importance_p"].tolist() == pytest.approx(expected)
    fisher = np.array([one.summaries["importance"]["fisher_p"] for one in networks])
    assert table.rows["importance_fisher_p_mean"].tolist() == pytest.approx(
        [fisher[places].mean() for places in ([0, 2], [1, 3], [4, 6], [5, 7])]
    )
    both = table.rows[["importance_p", "coherence_p"]].to_numpy().ravel()
    adjusted = table.rows[["importance_p_adjusted", "coherence_p_adjusted"]].to_numpy(float)
    assert adjusted.ravel().tolist() == benjamini_hochberg(both).adjusted.tolist()
    line = dict(zip(table.header, table.lines[2], strict=True))
    assert (line["train"], line["phase"], line["measure"]) == ("MLP", "pruned", "importance")
    spread = fisher[[1, 3]].std(ddof=1)
    assert line["Fisher p"] == f"{fisher[[1, 3]].mean():.4f} ± {spread:.4f} (0.25)"
    assert table.lines[1][table.header.index("Fisher p")].count("(") == 0
    assert "over 8 tests" in table.notes[0]
    assert table.rows["importance_p_published"].fillna(0).tolist() == [0, 0.25, 0, 0.25]


def test_a_network_tested_twice_in_a_condition_counts_with_the_first(store):
    networks = {**NETWORKS, "cases": NETWORKS["cases"][:1]}
    clusterings = {**CLUSTERINGS, "seeds": [5, 6], "grid": {"phase": ["pruned"]}}
    made = StoredCells(store.database, networks, clusterings, INPUTS).add_all()
    store.database["runs"].update_one(
        {"_id": made.runs[made.cells[-1].name]}, {"$unset": {"result.score.joint_p_smallest": 1}}
    )
    _, table = study_tables(made.results(store), store, n_resamples=99)
    (row,) = table.rows.to_dict("records")
    assert row["n_networks"] == 2
    adjusted = {line[2]: line[table.header.index("adjusted")] for line in table.lines}
    assert adjusted.pop("dispersion") == "-"  # no test of the published ones
    assert all(float(text.lstrip("< ").rstrip("* ")) <= 1 for text in adjusted.values())
    said = " ".join(table.notes)
    assert "1 more tests of networks that are in their condition already are left out" in said
    assert "1 tests are left out that cannot be read: run" in said


def test_what_no_other_table_shows_has_the_first_numbers_of_its_results(store):
    made = StoredCells(
        store.database, NETWORKS, CLUSTERINGS, {"name": "k's", "stage": "choose_k", "of": "cluster"}
    ).add_all()
    table = study_tables(made.results(store), store)[-1]
    assert (table.name, table.caption) == ("step_k_s", "small study: k's")
    assert table.header == ("train", "phase", "runs", "suggested", "ncut")
    assert table.lines[0] == ("MLP", "unpruned", "2", "4.5 ± 0.7071", "2.5 ± 0")


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
def test_latex_sets_a_table_of_odd_letters(tmp_path):
    rows = (("50% a_b #1 {x} ~ ^ \\ | < 0.1 -2 ± × − – … & $", "-1.5"),)  # noqa: RUF001
    table = StudyTable("odd", "A_B", pandas.DataFrame(), ("x|y", "n"), rows, ("± 5% of a_b.",))
    document = (
        r"\documentclass{article}\usepackage{booktabs,graphicx}\begin{document}",
        table.latex(),
        r"\end{document}",
    )
    (tmp_path / "odd.tex").write_text("\n".join(document))
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "odd.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in done.stdout


def test_letters_that_mean_something_to_latex_or_markdown_stay_letters():
    letters = r"50% a_b #1 {x} ~ ^ \ | < 0.1 -2 a-b"
    table = StudyTable("odd", "A & B", pandas.DataFrame(), ("x|y", "n"), ((letters, "-1.5"),))
    assert table.latex().splitlines()[11] == (
        r"    50\% a\_b \#1 \{x\} \textasciitilde{} \textasciicircum{} \textbackslash{} "
        r"\textbar{} $<$ 0.1 $-$2 a-b & $-$1.5 \\"
    )
    assert r"\begin{tabular}{lr}" in table.latex()
    assert table.markdown().splitlines()[0] == r"| x\|y | n |"
    assert table.markdown().splitlines()[2] == (r"| 50% a_b #1 {x} ~ ^ \\ \| < 0.1 -2 a-b | -1.5 |")
