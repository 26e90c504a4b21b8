"""``config.json`` against what OVMS accepts, and against what its author meant."""

from __future__ import annotations

from pathlib import Path

from ovms_edge.config_file.document import Document, JsonSyntaxError, read_document
from ovms_edge.config_file.graphs import graph_findings
from ovms_edge.config_file.metrics import metrics_findings
from ovms_edge.config_file.names import name_findings
from ovms_edge.config_file.places import place_findings
from ovms_edge.config_file.schema import Version, version_tuple
from ovms_edge.config_file.servables import Servable, read_servables
from ovms_edge.config_file.violations import (
    AT_START,
    JSON_INVALID,
    repeated_key_findings,
    schema_findings,
)
from ovms_edge.errors import EdgeError
from ovms_edge.finding import Finding, has_errors


def read_config_text(path: Path) -> str:
    """Return the text of ``path``; raises EdgeError."""
    if path.exists() and not path.is_file():
        raise EdgeError(f"{path} is no regular file", "give the path of a config.json")
    try:
        return path.read_bytes().decode("utf-8")
    except OSError as error:
        raise EdgeError(
            f"{path} cannot be read: {error.strerror}; OVMS would end with CONFIG_FILE_INVALID",
            "give the path of a config.json, readable",
        ) from error
    except UnicodeDecodeError as error:
        raise EdgeError(f"{path} is not UTF-8 at byte {error.start}", "save it as UTF-8") from error


def check_config(
    text: str,
    ovms_version: str,
    directory: Path | None = None,
    *,
    graphs: bool = True,
    rest_port: int | None = None,
) -> list[Finding]:
    """Return every finding in file order.

    With the ``directory`` of the file, what it names is looked at too, its graphs unless ``graphs`` is off.
    ``rest_port`` is that of the server's command line (0: none), None if it is not known. Raises EdgeError
    for an OVMS version that is not known.
    """
    version = version_tuple(ovms_version)
    try:
        document = read_document(text)
    except JsonSyntaxError as error:
        message = (
            f'OVMS logs "Configuration file is not a valid JSON file. Error: {error.logged}"; {AT_START}'
        )
        return [Finding("error", JSON_INVALID, message, error.remedy, error.line, error.column)]
    found = repeated_key_findings(document, version) + schema_findings(document, version)
    if has_errors(found):
        return _in_file_order(found)
    try:
        servables = read_servables(document.value, version, directory)
        found += _meaning(document, servables, version, rest_port)
    except OSError as error:
        raise EdgeError(
            f"{error.filename} cannot be looked into: {error.strerror}",
            "call again as a user who may, or correct its permissions",
        ) from error
    if directory is not None and graphs:
        found += graph_findings(document, servables, ovms_version, directory)
    return _in_file_order(found)


def _in_file_order(found: list[Finding]) -> list[Finding]:
    return sorted(found, key=lambda finding: (finding.line or 0, finding.column or 0))


def _meaning(
    document: Document, servables: list[Servable], version: Version, rest_port: int | None
) -> list[Finding]:
    serves_models = any(servable.kind in ("model", "pipeline") for servable in servables)
    found = name_findings(document, servables) + place_findings(document, servables, version)
    found += metrics_findings(document, version, serves_models, rest_port)
    if not servables:
        message, fix = (
            "names no servable: OVMS starts, and serves nothing",
            "ovms-edge config merge enters one",
        )
        place = document.place(("model_config_list",))
        found.append(Finding("warning", "nothing_served", message, fix, *place, "model_config_list"))
    return found
