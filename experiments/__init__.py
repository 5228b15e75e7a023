"""The stages of a study, each a Sacred experiment of its own."""
