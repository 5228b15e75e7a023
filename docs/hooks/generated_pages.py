"""Pages that MkDocs makes of files outside docs/, so that each is written once."""

from __future__ import annotations

import re
from pathlib import Path

import config_reference
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

PROJECT = Path(__file__).resolve().parents[2]
# The pages made of files of the project, and what links to the files become.
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "LICENSE": "license.md",
    "datasets/README.md": "datasets.md",
}


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the pages that are made."""
    for path, page in PAGES.items():
        text = (PROJECT / path).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=_relinked(text)))
    for stage in config_reference.STAGES:
        text = config_reference.page(stage, PROJECT / "configs", PROJECT / "experiments")
        files.append(File.generated(config, f"configuration/{stage}.md", content=text))
    return files


def _relinked(text: str) -> str:
    """Return a file's text with its links as those of a page in docs/."""
    for path, page in PAGES.items():
        text = re.sub(rf"\]\({re.escape(path)}(#[^)]*)?\)", rf"]({page}\1)", text)
    # from the project, and from a folder of it
    return text.replace("](docs/", "](").replace("](../docs/", "](")
