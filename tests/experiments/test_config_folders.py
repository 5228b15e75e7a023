"""Where the stages look for their configs."""

import pytest

from experiments import config_folders
from tests.programs import PROJECT


def test_configs_of_the_current_folder_come_after_the_projects(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert config_folders() == [PROJECT / "configs", tmp_path / "configs"]


@pytest.mark.parametrize("by", ["name", "link"])
def test_configs_of_the_project_are_read_once(tmp_path, monkeypatch, by):
    (tmp_path / "link").symlink_to(PROJECT)
    monkeypatch.chdir(PROJECT if by == "name" else tmp_path / "link")
    assert config_folders() == [PROJECT / "configs"]
