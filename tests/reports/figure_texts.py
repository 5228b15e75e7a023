"""What a figure says, once it is laid out."""

import re

from matplotlib.text import Text


def texts_of(figure):
    """Every text that is drawn."""
    figure.draw_without_rendering()
    found = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text()]
    return [text.get_text() for text in found]


def assert_numbers_have_true_minus_signs(figure):
    """A hyphen in front of a digit is a minus sign that is too short."""
    wrong = [text for text in texts_of(figure) if re.search(r"-[\d.]", text)]
    assert not wrong
