import pytest
from nn_clustering.reports import study_tables, study_figures
from tests.reports.stored_study import *


def test_look(store):
    made = StoredCells(
        store.database,
        NETWORKS,
        CLUSTERINGS,
        SHUFFLES,
        LESIONS,
        INPUTS,
        {"name": "choose_k", "of": "cluster"},
        published=[PUBLISHED],
    ).add_all()
    results = made.results(store)
    for table in study_tables(results, store, n_resamples=99):
        print(table.markdown())
        print(table.latex())
        print(table.csv()[:600])
    import pathlib

    pathlib.Path("/tmp/tables_look").mkdir(exist_ok=True)
    for name, figure in study_figures(results, store):
        figure.savefig(f"/tmp/tables_look/{name}.png", dpi=100)
    for table in study_tables(results, store, n_resamples=99):
        pathlib.Path(f"/tmp/tables_look/{table.name}.tex").write_text(table.latex())

def test_look2(store):
    clusterings = {"name": "cluster", "of": "train", "grid": {"n_clusters": [2, 4, 8, 16], "phase": ["unpruned"]}}
    at = {"name": "on_the_way", "stage": "cluster", "of": "train", "grid": {"checkpoint": [1, 2, 3, None], "phase": ["unpruned"]}}
    made = StoredCells(store.database, NETWORKS, clusterings, SHUFFLES, at,  title="A title").add_all()
    results = made.results(store)
    for table in study_tables(results, store, n_resamples=99):
        print(table.markdown())
    for name, figure in study_figures(results, store):
        figure.savefig(f"/tmp/tables_look/2{name}.png", dpi=100)
