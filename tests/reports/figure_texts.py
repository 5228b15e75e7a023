"""What a figure says, once it is laid out."""

import re

from matplotlib.text import Text


def texts_of(figure):
    """Every text that is drawn."""
    figure.draw_without_rendering()
    found = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text()]
    return [text.get_text() for text in found]


def assert_numbers_are_well_written(figure):
    """A hyphen in front of a digit is a minus sign that is too short, and one is no plural."""
    wrong = re.compile(r"-[\d.]|(?<![\d.,/])1 (?:random |conditional |fresh )?[a-z-]+s\b")
    assert not [text for text in texts_of(figure) if wrong.search(text)]
