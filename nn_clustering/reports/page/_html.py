"""Texts that are safe in a page: escaped HTML, JSON in scripts, and a policy for the browser."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import Any

TEMPLATES = Path(__file__).with_name("templates")
# Beyond these a browser rounds whole numbers.
_LARGEST = 2**53


def rendered(**contents: Any) -> bytes:
    """Return the page, UTF-8: what of its contents is text is escaped.

    Args:
        contents: What the template shows; ``data`` is what its script reads, see :func:`plain`.
    """
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["duration"] = duration
    scripts = [_own_script()]
    if contents["data"].get("figure"):
        scripts.append(plotly_script())
    page = environment.get_template("page.html.j2").render(
        **contents,
        data_json=Markup(script_json(contents["data"])),
        policy=_policy(scripts),
        style=Markup((TEMPLATES / "page.css").read_text(encoding="utf-8")),
        scripts=[Markup(script) for script in scripts],
    )
    # a database may hold halves of letters, which UTF-8 does not know
    return page.encode("utf-8", errors="replace")


def script_json(value: Any) -> str:
    """Return JSON that no name in it can lead out of: `<`, `>` and `&` are escaped in strings."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    for letter in "<>&":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text


def plain(value: Any) -> Any:
    """Return a value as JSON has it: numbers that are not finite as None, others as texts."""
    if value is None or isinstance(value, bool | str):
        return value
    if hasattr(value, "item") and not hasattr(value, "__len__"):  # a number of NumPy
        value = value.item()
    if isinstance(value, int) and not isinstance(value, bool):
        return value if abs(value) < _LARGEST else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    return _text(value)


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return json.dumps(value, default=str, ensure_ascii=False)
    if isinstance(value, Sequence):
        return ", ".join(str(one) for one in value)
    return str(value)


def duration(seconds: float) -> str:
    """Return a time as people say it."""
    if seconds < 60:
        return f"{seconds:.3g} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min"


def plotly_script() -> str:
    """Return Plotly's script, as its package brings it."""
    script = resources.files("plotly").joinpath("package_data", "plotly.min.js")
    return script.read_text(encoding="utf-8").replace("\r\n", "\n")


def _own_script() -> str:
    return (TEMPLATES / "page.js").read_text(encoding="utf-8")


def _policy(scripts: Iterable[str]) -> str:
    """Return a policy by which the browser runs these scripts alone and asks nobody for anything.

    Plotly sets styles by its script, and makes pictures of its figures in memory.
    """
    digests = (hashlib.sha256(script.encode()).digest() for script in scripts)
    hashes = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )
