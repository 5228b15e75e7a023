"""No place of a run keeps the password of a URL, whatever characters it has."""

import json
import re

import pytest
from hypothesis import HealthCheck, Phase, given, settings, strategies as st
from sacred import Experiment

from nn_clustering.tracking import make_observer
from tests.tracking.test_passwords import WORDS, passwords

MASKED = "mongodb://***@h/db"


def words_in(value):
    """Words of a password in texts, keys of documents included, with what stands around them."""
    return [text for word in WORDS for text in re.findall(f".{{0,30}}{word}.{{0,30}}", repr(value))]


def whole_database(database):
    """Every document, but for the content of files."""
    names = [name for name in database.list_collection_names() if name != "fs.chunks"]
    return {name: list(database[name].find()) for name in names}


def too_deep(value):
    for _ in range(200):
        value = [value]
    return value


def logging_experiment(urls, folder):
    """An experiment that leaves the URLs wherever a run can leave text."""
    experiment = Experiment(f"reads {urls[0]!r}", save_git_info=False, base_dir=str(folder))
    by_url = {url.replace("=", ""): {"deep": (url, 1)} for url in urls}  # as Sacred wants keys
    experiment.add_config(urls=urls, word=f"url={urls[0]}", **by_url)
    file = folder / "file.txt"
    file.write_text("content")

    @experiment.main
    def run(_run):
        for url in urls:
            print(url)
            print(f"took {url!r} and {json.dumps({'url': url})}")
            _run.log_scalar(url, 0.5, 0)
            _run.log_scalar("text", url, 0)
            _run.log_scalar("unstorable", [url, "x" * 80], 0)
            _run.info[url] = {url: [url]}
            _run.info[f"{url} 2"] = too_deep(url)
            _run.add_artifact(
                str(file), name=url, metadata={url: url}, content_type=f"text/{url!r}"
            )
        raise ValueError(f"no server at {urls!r}")

    return experiment


# One example of many: a run takes a while, and to find the smallest would take many runs.
@settings(
    max_examples=3,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    deadline=None,
)
@given(odd=st.lists(passwords, min_size=10, max_size=20, unique=True))
def test_no_place_of_a_run_keeps_a_password(database, store, tmp_path, caplog, monkeypatch, odd):
    monkeypatch.setenv("NN_CLUSTERING_HOME", str(tmp_path))
    urls = [f"mongodb://ann:{password}@h/db" for password in odd]
    experiment = logging_experiment(urls, tmp_path)
    observer = make_observer(database, journal_folder=tmp_path / "journal")
    experiment.observers.append(observer)

    @experiment.pre_run_hook
    def attach(_run):
        observer.attach(_run)

    caplog.clear()
    with pytest.raises(ValueError, match="no server"):
        experiment.run(options={"--comment": urls[0], "--capture": "sys"})
    document = database["runs"].find_one(sort=[("_id", -1)])
    store.tag(document["_id"], urls[1].replace("\t", ""))
    store.note(document["_id"], urls[2])
    messages = [r.getMessage() for r in caplog.records if r.name.startswith("nn_clustering")]
    assert words_in(whole_database(database)) == []
    assert words_in(messages) == []
    assert document["config"]["urls"] == [MASKED] * len(urls)
    assert len(document["info"]) == len(urls) + len(["metrics"])  # none was lost
