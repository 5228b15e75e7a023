import pytest
from nn_clustering.reports import study_tables, study_figures
from tests.reports.stored_study import *

def test_look(store):
    made = StoredCells(store.database, NETWORKS, CLUSTERINGS, SHUFFLES, LESIONS, INPUTS, {"name": "choose_k", "of": "cluster"}, published=[PUBLISHED]).add_all()
    results = made.results(store)
    for table in study_tables(results, store, n_resamples=99):
        print(table.markdown()); print(table.latex()); print(table.csv()[:600])
    import pathlib
    pathlib.Path("/tmp/tables_look").mkdir(exist_ok=True)
    for name, figure in study_figures(results, store):
        figure.savefig(f"/tmp/tables_look/{name}.png", dpi=100)
