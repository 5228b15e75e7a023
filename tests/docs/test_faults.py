"""The table of faults names tests that there are."""

import ast
import re

import pytest

from tests.programs import PROJECT

TABLE = (PROJECT / "docs" / "runs" / "faults.md").read_text("utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", TABLE)))


@pytest.mark.parametrize(("path", "name"), NAMED)
def test_named_test_exists(path, name):
    tree = ast.parse((PROJECT / path).read_text("utf-8"))
    assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_every_fault_names_a_test():
    rows = [line for line in TABLE.splitlines() if line.startswith("| ") and "---" not in line]
    rows = [line for line in rows if "what was done" not in line]
    assert len(rows) > 30
    assert [row for row in rows if "::test_" not in row] == []
