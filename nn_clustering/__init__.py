"""Find modules in trained neural networks, and test whether they are real ones."""
