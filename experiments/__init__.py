"""The stages of a study, each a Sacred experiment of its own."""

from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
