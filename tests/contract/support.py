"""Start OVMS, the stand-in or the real image, as design section 5 says, and talk to it."""

from __future__ import annotations

import base64
import json
import os
import shutil
import struct
import subprocess
import time
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

IMAGE = os.environ.get(
    "OVMS_IMAGE", f"{os.environ.get('OVMS_LAB_NAME', 'ovms-lab')}/model_server:2025.4.1-gpu"
)
DEVICE = os.environ.get("OVMS_DEVICE", "CPU")
ROOT = Path(__file__).parents[2]
MODEL_DIR = Path(
    os.environ.get("OVMS_MODEL_DIR", ROOT / ".lab/model/repository/Qwen/Qwen2.5-VL-7B-Instruct-ov-int8")
)
NAME = "Qwen/Qwen2.5-VL-7B-Instruct-ov-int8"
AT_ONCE = 4  # containers that only start and end
START_SECONDS = float(os.environ.get("OVMS_START_SECONDS", "120"))
ANSWER_SECONDS = float(os.environ.get("OVMS_ANSWER_SECONDS", "360"))
AVAILABLE = [{"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": "OK"}}]
FAILED = [
    {
        "version": "1",
        "state": "LOADING",
        "status": {"error_code": "FAILED_PRECONDITION", "error_message": "FAILED_PRECONDITION"},
    }
]
RETIRED = [{"version": "1", "state": "END", "status": {"error_code": "OK", "error_message": "OK"}}]

GRAPH = """\
input_stream: "HTTP_REQUEST_PAYLOAD:input"
output_stream: "HTTP_RESPONSE_PAYLOAD:output"
node {
  name: "LLMExecutor"
  calculator: "HttpLLMCalculator"
  input_stream: "LOOPBACK:loopback"
  input_stream: "HTTP_REQUEST_PAYLOAD:input"
  input_side_packet: "LLM_NODE_RESOURCES:llm"
  output_stream: "LOOPBACK:loopback"
  output_stream: "HTTP_RESPONSE_PAYLOAD:output"
  input_stream_info { tag_index: "LOOPBACK:0" back_edge: true }
  node_options {
    [type.googleapis.com/mediapipe.LLMCalculatorOptions] { OPTIONS }
  }
  input_stream_handler {
    input_stream_handler: "SyncSetInputStreamHandler"
    options {
      [mediapipe.SyncSetInputStreamHandlerOptions.ext] { sync_set { tag_index: "LOOPBACK:0" } }
    }
  }
}
"""


def graph(options: str = "", *, models_path: str = "/weights", device: str = DEVICE) -> str:
    """Return a graph with these options; ``options`` come last."""
    return GRAPH.replace(
        "OPTIONS", f'models_path: "{models_path}" device: "{device}" max_num_seqs: 1 {options}'
    )


def png(width: int, height: int, red: int, green: int, blue: int) -> bytes:
    row = b"\0" + bytes((red, green, blue)) * width

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(row * height))
        + chunk(b"IEND", b"")
    )


def data_uri(data: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def image_part(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def text_part(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


@dataclass(frozen=True)
class Ovms:
    """A server by address, with the name of what it serves and its API key."""

    url: str
    model: str = NAME
    api_key: str = ""

    def get(self, path: str, method: str = "GET") -> requests.Response:
        return requests.request(method, self.url + path, timeout=30)

    def post(
        self, path: str, body: object = None, *, raw: bytes | None = None, **headers: str
    ) -> requests.Response:
        sent = {"Content-Type": "application/json"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        if self.api_key:
            sent.setdefault("Authorization", f"Bearer {self.api_key}")
        data = raw if raw is not None else json.dumps(body).encode()
        return requests.post(self.url + path, data=data, headers=sent, timeout=ANSWER_SECONDS)

    def chat(self, content: object = "What is it?", **fields: Any) -> requests.Response:
        """Ask greedily for up to eight tokens; a field given as ``...`` is left out."""
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": content}],
            "max_completion_tokens": 8,
            "temperature": 0,
        } | fields
        return self.post(
            "/v3/chat/completions", {name: value for name, value in body.items() if value is not ...}
        )

    def in_flight(self, graph: str) -> bool:
        """Whether a request is in the graph now, by the metrics."""
        return f'ovms_current_graphs{{name="{graph}"}} 1' in self.get("/metrics").text

    def statuses(self) -> dict[str, Any]:
        listed = self.get("/v1/config").json()
        return {name: entry["model_version_status"] for name, entry in listed.items()}


@dataclass
class Container:
    """A running server; ``models`` is what it sees at /models."""

    id: str
    models: Path
    server: Ovms
    seen: list[dict[str, Any]] = field(default_factory=list)

    def logs(self) -> str:
        result = subprocess.run(
            ["docker", "logs", self.id], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=True
        )
        return result.stdout.decode()

    def state(self) -> tuple[bool, int]:
        """Return whether it runs, and its exit status."""
        found = _docker("inspect", "--format", "{{.State.Running}} {{.State.ExitCode}}", self.id).split()
        return found[0] == "true", int(found[1])

    def config(self) -> str:
        return (self.models / "config.json").read_text(encoding="utf-8")

    def execute(self, *command: str) -> int:
        """Run a command in the container; return its exit status."""
        found = subprocess.run(["docker", "exec", self.id, *command], capture_output=True, check=False)
        return found.returncode

    def signal(self, name: str) -> None:
        _docker("kill", "--signal", name, self.id)

    def answers(self) -> bool:
        try:
            return self.server.get("/v2/health/live").ok
        except requests.ConnectionError:
            return False

    def wait_for_log(self, text: str) -> None:
        deadline = time.monotonic() + START_SECONDS
        while text not in self.logs():
            assert time.monotonic() < deadline, f"{text!r} never came:\n{self.logs()}"
            time.sleep(0.05)

    def wait_for_exit(self, seconds: float) -> int:
        """Return the exit status; fails if it still runs at the deadline."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            running, status = self.state()
            if not running:
                return status
            time.sleep(0.1)
        raise AssertionError(f"still running after {seconds} s:\n{self.logs()}")

    def wait_until_loaded(self, seconds: float = START_SECONDS) -> None:
        """Poll until the first load is over, noting what the server said meanwhile in ``seen``."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            running, status = self.state()
            assert running, f"exited with status {status}:\n{self.logs()}"
            try:
                note = self._look()
            except requests.ConnectionError:
                time.sleep(0.02)
                continue
            self.seen.append(note)
            if note["ready"] == 200:
                return
        raise AssertionError(f"not loaded after {seconds} s:\n{self.logs()}")

    def _look(self) -> dict[str, Any]:
        # what is asked first is oldest: when `ready` says no, the rest was seen while loading
        return {
            "live": self.server.get("/v2/health/live").status_code,
            "config": self.server.get("/v1/config").text,
            "model": self.server.get(f"/v1/models/{self.server.model.replace('/', '%2F')}").status_code,
            "chat": self.server.chat().status_code,
            "ready": self.server.get("/v2/health/ready").status_code,
        }

    def remove(self) -> None:
        _docker("rm", "--force", self.id)


def _docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True).stdout


def start(
    models: Path,
    *arguments: str,
    memory: str = "4g",
    options: tuple[str, ...] = (),
    api_key: str = "",
    model: str = NAME,
) -> Container:
    """Start the image with HTTP on port 8000, published on a free port of the loopback."""
    identity = _docker(
        "run", "--detach", *_LOCKED_DOWN, "--memory", memory, "--publish", "127.0.0.1::8000",
        "--volume", f"{models}:/models:ro", "--volume", f"{MODEL_DIR}:/weights:ro", *options,
        IMAGE, "--rest_port", "8000", *arguments,
    ).strip()  # fmt: skip
    address = _docker("port", identity, "8000/tcp").splitlines()[0]
    return Container(identity, models, Ovms(f"http://{address}", model, api_key))


_LOCKED_DOWN = (
    "--user", "5000", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges",
    "--tmpfs", "/tmp",  # noqa: S108
)  # fmt: skip


def run(*arguments: str, options: tuple[str, ...] = (), seconds: float = 30) -> tuple[int, str]:
    """Run the image to its end; return exit status and all output."""
    result = subprocess.run(
        ["docker", "run", "--rm", *_LOCKED_DOWN, *options, IMAGE, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=seconds,
        check=False,
    )
    return result.returncode, result.stdout.decode()


def write_models(directory: Path, config: object, graphs: dict[str, str]) -> Path:
    """Fill a models directory, readable by uid 5000; a graph of ``""`` is an empty file."""
    for name, text in graphs.items():
        (directory / name).mkdir(parents=True, exist_ok=True)
        (directory / name / "graph.pbtxt").write_text(text, encoding="utf-8")
    text = config if isinstance(config, str) else json.dumps(config)
    (directory / "config.json").write_text(text, encoding="utf-8")
    directory.chmod(0o755)
    return directory


def config_of(*names: str, **more: Any) -> dict[str, Any]:
    """Return a config.json with these servables, in directories of their names."""
    return {"model_config_list": [{"config": {"name": name}} for name in names]} | more


def copy_model(target: Path) -> Path:
    """Copy the model (by hard links where they go), its own graph left out."""

    def link(source: str, destination: str) -> None:
        try:
            os.link(source, destination)
        except OSError:
            shutil.copy2(source, destination)

    shutil.copytree(
        MODEL_DIR,
        target,
        copy_function=link,
        ignore=shutil.ignore_patterns("graph.pbtxt"),
        dirs_exist_ok=True,
    )
    return target
