"""The commands that a person types, like list and show: their parser, and what they print."""
