"""A status document as one HTML page that needs nothing else: no server, no network, no other file."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from ovms_edge.node.output import size_text
from ovms_edge.rollout.amounts import duration_text
from ovms_edge.rollout.chart import chart
from ovms_edge.rollout.figures import figures
from ovms_edge.rollout.groups import drifted, grouped
from ovms_edge.rollout.overview import hints
from ovms_edge.rollout.report_data import as_script, report_data
from ovms_edge.rollout.states import StoreState
from ovms_edge.rollout.wave_lines import wave_note
from ovms_edge.rollout.words import first_of, many, seconds_text, state_text

# From done to not begun.
_BAR_ORDER = tuple(
    state.value
    for state in (
        StoreState.SERVING,
        StoreState.ACTIVATING,
        StoreState.STAGED,
        StoreState.STAGING,
        StoreState.FAILED,
        StoreState.LATE,
        StoreState.UNREACHABLE,
        StoreState.ROLLING_BACK,
        StoreState.ROLLED_BACK,
        StoreState.PENDING,
        StoreState.UNSUITABLE,
    )
)


def render(document: Mapping[str, Any]) -> str:
    """Return the page, to be written as UTF-8."""
    groups = grouped(document)
    style, script = _page("report.css"), _page("report.js")
    states = [state.value for state in StoreState if document["counts"].get(state)]
    page = (
        _environment()
        .get_template("report.html")
        .render(
            document=document,
            states=states,
            total=sum(document["counts"].values()),
            hints=hints(document),
            chart=chart(document),
            figures=figures(document),
            groups=groups,
            bar_order=_BAR_ORDER,
            drifted=drifted(document),
            decisions=[event for event in document["history"] if event["store"] is None],
            style=Markup(style),  # noqa: S704  a file of ours
            script=Markup(script),  # noqa: S704  a file of ours
            style_hash=_hash(style),
            script_hash=_hash(script),
            data=Markup(as_script(report_data(document, groups))),  # noqa: S704  as_script escapes it
        )
    )
    return page.encode("utf-8", "replace").decode("utf-8")  # names from anywhere may hold half a character


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FunctionLoader(_page),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        state=state_text, seconds=seconds_text, duration=duration_text, size=size_text, utc=_utc
    )
    environment.globals.update(many=many, first_of=first_of, wave_note=wave_note)
    return environment


def _page(name: str) -> str:
    return (resources.files("ovms_edge.rollout") / "page" / name).read_text("utf-8")


def _hash(text: str) -> str:
    """Return what a Content-Security-Policy calls this text by."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _utc(text: str) -> str:
    return text.replace("T", " ").removesuffix("Z")
