"""The command line (v2025.4.1 src/cli_parser.cpp, src/config.cpp)."""

from __future__ import annotations

import argparse
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from ovms_standin.log import LEVELS

EX_USAGE = 64
MAX_PORT = 65535
_ADDRESS = re.compile(r"[0-9A-Za-z:._-]+(,[0-9A-Za-z:._-]+)*")
_SINGLE_MODEL_SETTINGS = (
    "batch_size",
    "shape",
    "layout",
    "model_version_policy",
    "nireq",
    "target_device",
    "plugin_config",
)


class UsageError(Exception):
    """Printed to standard error; the process then exits with EX_USAGE."""


@dataclass(frozen=True)
class Options:
    """What the stand-in acts on; the other flags of OVMS are accepted and checked only."""

    port: int
    rest_port: int
    rest_bind_address: str
    config_path: Path | None
    model_name: str
    model_path: Path | None
    log_level: str
    log_path: Path | None
    poll_seconds: int
    metrics_enable: bool
    metrics_list: tuple[str, ...]
    allowed_local_media_path: str | None
    cors: dict[str, str] = field(default_factory=dict)
    api_key: str = ""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"error parsing options: {message}")


def _uint32(text: str) -> int:
    if not text.isdecimal() or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(f"argument {text!r} failed to parse")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="ovms", description="OpenVINO Model Server (stand-in)", allow_abbrev=False)
    parser.add_argument("--version", action="store_true", help="Show binary version")
    for name, default in (
        ("port", 0),
        ("rest_port", 0),
        ("grpc_workers", 1),
        ("rest_workers", None),
        ("grpc_max_threads", None),
        ("grpc_memory_quota", None),
        ("file_system_poll_wait_seconds", 1),
        ("sequence_cleaner_poll_wait_minutes", 5),
        ("custom_node_resources_cleaner_interval_seconds", 300),
        ("nireq", None),
        ("max_sequence_number", None),
    ):
        parser.add_argument(f"--{name}", type=_uint32, default=default)
    for name, default_text in (
        ("grpc_bind_address", "0.0.0.0"),  # noqa: S104 - OVMS's default
        ("rest_bind_address", "0.0.0.0"),  # noqa: S104 - OVMS's default
        ("log_level", "INFO"),
        ("log_path", None),
        ("grpc_channel_arguments", None),
        ("cache_dir", None),
        ("metrics_list", ""),
        ("cpu_extension", ""),
        ("allowed_local_media_path", None),
        ("allowed_origins", "*"),
        ("allowed_methods", "*"),
        ("allowed_headers", "*"),
        ("api_key_file", ""),
        ("config_path", None),
        ("model_name", ""),
        ("model_path", None),
        ("batch_size", None),
        ("shape", None),
        ("layout", None),
        ("model_version_policy", None),
        ("target_device", None),
        ("plugin_config", None),
    ):
        parser.add_argument(f"--{name}", default=default_text)
    for name in (
        "metrics_enable",
        "allow_credentials",
        "stateful",
        "idle_sequence_cleanup",
        "low_latency_transformation",
    ):
        parser.add_argument(f"--{name}", action="store_true")
    return parser


def parse(arguments: list[str], environ: dict[str, str]) -> Options | None:
    """Return the options, or None if only the version was asked for; raises UsageError.

    An API key file that cannot be read is an OSError, as it ends OVMS with an exception.
    """
    parsed, unmatched = _parser().parse_known_args(arguments)
    if unmatched:
        listed = "".join(f"{argument}, " for argument in unmatched)
        raise UsageError(f"error parsing options - unmatched arguments: {listed}\n")
    if parsed.version:
        return None
    _check(parsed)
    cors = {
        "Access-Control-Allow-Origin": parsed.allowed_origins,
        "Access-Control-Allow-Methods": parsed.allowed_methods,
        "Access-Control-Allow-Headers": parsed.allowed_headers,
    }
    if parsed.allow_credentials:
        cors["Access-Control-Allow-Credentials"] = "true"
    return Options(
        port=parsed.port,
        rest_port=parsed.rest_port,
        rest_bind_address=parsed.rest_bind_address,
        config_path=_config_file(parsed.config_path),
        model_name=parsed.model_name,
        model_path=Path(parsed.model_path) if parsed.model_path else None,
        log_level=parsed.log_level,
        log_path=Path(parsed.log_path) if parsed.log_path else None,
        poll_seconds=parsed.file_system_poll_wait_seconds,
        metrics_enable=parsed.metrics_enable,
        metrics_list=tuple(parsed.metrics_list.split(",")) if parsed.metrics_list else (),
        allowed_local_media_path=parsed.allowed_local_media_path,
        cors={name: value for name, value in cors.items() if value},
        api_key=_api_key(parsed.api_key_file, environ),
    )


def _check(parsed: argparse.Namespace) -> None:  # in the order of Config::validate
    cores = os.cpu_count() or 1
    rest_workers = cores if parsed.rest_workers is None else parsed.rest_workers
    single = bool(parsed.model_name or parsed.model_path)
    model_settings = any(getattr(parsed, name) not in (None, 0) for name in _SINGLE_MODEL_SETTINGS)
    for wrong, message in (
        (parsed.config_path and single, "Use either config_path or model_path with model_name"),
        (
            not parsed.config_path and not (parsed.model_name and parsed.model_path),
            "Use config_path or model_path with model_name",
        ),
        (
            parsed.config_path and model_settings,
            "Model parameters in CLI are exclusive with the config file",
        ),
        (
            not 1 <= parsed.grpc_workers <= cores,
            f"grpc_workers count should be from 1 to CPU core count : {cores}",
        ),
        (
            parsed.metrics_enable and not parsed.rest_port,
            "rest_port setting is missing, metrics are enabled on rest port",
        ),
        (
            parsed.metrics_list and not parsed.metrics_enable,
            "metrics_enable setting is missing, required when metrics_list is provided",
        ),
        (not parsed.rest_port and not parsed.port, "port and rest_port cannot both be unset"),
        (not 2 <= rest_workers <= 10_000, "rest_workers count should be from 2 to 10000"),
        (
            parsed.rest_workers is not None and not parsed.rest_port,
            "rest_workers is set but rest_port is not set. rest_port is required to start rest servers",
        ),
        (parsed.port > MAX_PORT, f"port number out of range from 0 to {MAX_PORT}"),
        (parsed.rest_port > MAX_PORT, f"rest_port number out of range from 0 to {MAX_PORT}"),
        (
            not _ADDRESS.fullmatch(parsed.rest_bind_address),
            "rest_bind_address has invalid format: proper hostname or IP address expected.",
        ),
        (
            not _ADDRESS.fullmatch(parsed.grpc_bind_address),
            "grpc_bind_address has invalid format: proper hostname or IP address expected.",
        ),
        (
            parsed.port == parsed.rest_port and parsed.port != 0,
            "port and rest_port cannot have the same values",
        ),
        (
            parsed.cpu_extension and not Path(parsed.cpu_extension).exists(),
            "File path provided as an --cpu_extension parameter does not exist in the filesystem: "
            f"{parsed.cpu_extension}",
        ),
        (
            parsed.log_level not in LEVELS,
            "log_level should be one of: TRACE, DEBUG, INFO, WARNING, ERROR",
        ),
    ):
        if wrong:
            raise UsageError(message)


def _config_file(text: str | None) -> Path | None:
    if not text:
        return None
    path = Path(text)
    return path / "config.json" if path.is_dir() else path


def _api_key(file: str, environ: dict[str, str]) -> str:
    if not file:
        return environ.get("API_KEY", "")
    with Path(file).open(encoding="utf-8") as lines:
        return lines.readline().rstrip(" \n\r\t")
