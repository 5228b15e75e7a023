"""Speed beside the peers, in one run on the same cores: ``python -m benchmarks``."""
