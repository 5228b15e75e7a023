"""The stored runs: find, table, compare, lineage, artifacts, deletion, and which of them live."""
