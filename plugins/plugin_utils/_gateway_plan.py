# SPDX-License-Identifier: Apache-2.0
"""What role ``ovms_gateway`` wants of a host, from its inputs and what was found there.

Private to this collection. Nothing here asks or changes a host. Files are entries of the program of
``host_files``.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from jinja2 import Environment, StrictUndefined

from ansible_collections.ovms.edge.plugins.plugin_utils._input_checks import GATEWAY_NETWORK
from ansible_collections.ovms.edge.plugins.plugin_utils._role_inputs import ROLES

ROLE = "ovms_gateway"
UNIT = "ovms-edge-gateway.service"
DIRECTORY = "/etc/ovms-edge/gateway"
CONFIG = f"{DIRECTORY}/haproxy.cfg"
KEYS = f"{DIRECTORY}/keys"
PEM = f"{DIRECTORY}/tls.pem"
PUBLIC_PEM = f"{DIRECTORY}/certificate.pem"
UNIT_FILE = f"/etc/systemd/system/{UNIT}"
SETTINGS = "/etc/ovms-edge/gateway.json"
RUN = "/run/ovms-edge-gateway"
ROUTE = f"{RUN}/route"
APPS_SOCKET = f"{RUN}/apps/http.sock"
# As the templates call them.
PATHS = {
    "apps": APPS_SOCKET,
    "config": CONFIG,
    "directory": DIRECTORY,
    "keys": KEYS,
    "refuse": f"{RUN}/refuse.sock",
    "route": ROUTE,
    "run": RUN,
}

_LUA = ROLES / ROLE / "files/gateway.lua"
OLDEST_HAPROXY = (2, 4)
_UNITS = {"k": 2**10, "m": 2**20, "g": 2**30}
# Tried by loading it: a key that is another certificate's is refused here.
_LOAD_PEM = "import ssl, sys; ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(sys.argv[1])"
_OPENSSL_CONFIG = """\
[req]
distinguished_name = subject
x509_extensions = extensions
prompt = no
[subject]
CN = {hostname}
[extensions]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
subjectAltName = {names}
"""


@dataclass(frozen=True)
class Gateway:
    """The inputs of the role, without its name before theirs, and what follows from them alone."""

    bind_address: str
    port: int
    tls: bool
    certificate: str
    key: str
    api_keys: list[dict[str, str]]
    max_body: str
    concurrency: int
    queue: int
    timeout_seconds: int
    hold_seconds: int
    metrics_address: str
    subnet: str
    alias: str
    apps_network: str

    @classmethod
    def of(cls, inputs: Mapping[str, Any]) -> Gateway:
        """Return the gateway of inputs that were checked."""
        return cls(**{field.name: inputs[f"{ROLE}_{field.name}"] for field in fields(cls)})

    @property
    def bind(self) -> str:
        address = f"[{self.bind_address}]" if ":" in self.bind_address else self.bind_address
        return f"{address}:{self.port}"

    @property
    def bind_options(self) -> str:
        # Of what TLS's ALPN offers, HTTP/1.1 alone: one protocol to OVMS, one to check requests in.
        return f" ssl crt {PEM} alpn http/1.1" if self.tls else ""

    @property
    def binds(self) -> list[str]:
        return [self.bind, *([self.metrics_address] if self.metrics_address else [])]

    @property
    def url(self) -> str:
        """How the host itself reaches it."""
        place = self.bind.replace("0.0.0.0:", "127.0.0.1:").replace("[::]:", "[::1]:")
        return f"{'https' if self.tls else 'http'}://{place}"

    @property
    def slots(self) -> dict[str, str]:
        """The addresses of OVMS. Both ends of the subnet are left to the host and Docker."""
        network = ipaddress.IPv4Network(self.subnet)
        return {"a": str(network[2]), "b": str(network[3])}

    @property
    def max_body_bytes(self) -> int:
        return int(self.max_body[:-1]) * _UNITS[self.max_body[-1]]

    @property
    def generates(self) -> bool:
        """Whether the host makes a certificate of its own."""
        return self.tls and not self.certificate

    @property
    def settings(self) -> dict[str, Any]:
        """What ovms-node has to know."""
        apps = {"network": self.apps_network, "alias": self.alias, "socket": APPS_SOCKET}
        return {
            "schema": 1,
            "url": self.url,
            # A given certificate has names of its own, which the host may not reach itself by.
            "ca_file": PUBLIC_PEM if self.generates else None,
            "network": GATEWAY_NETWORK,
            "subnet": self.subnet,
            "slots": self.slots,
            "route_file": ROUTE,
            "apps": apps if self.alias else None,
        }

    def secret_files(self) -> list[dict[str, Any]]:
        """Return what only some may read. The configuration is tried with it, so it comes before that."""
        pem = {
            "path": PEM,
            "mode": "0600",
            "secret": True,
            "content": f"{self.certificate.strip()}\n{self.key.strip()}\n",
            "validate": ["python3", "-c", _LOAD_PEM, "%s"],
        }
        return [*([self._keys()] if self.api_keys else []), *([pem] if self.certificate else [])]

    def files(self) -> list[dict[str, Any]]:
        """Return all else. The settings come last: with them there, all that ovms-node needs is there."""
        return [
            {"path": DIRECTORY, "mode": "0755", "directory": True},
            *([] if self.api_keys else [self._keys()]),
            *([_file(PUBLIC_PEM, f"{self.certificate.strip()}\n")] if self.certificate else []),
            _file(f"{DIRECTORY}/gateway.lua", _LUA.read_text()),
            {**_file(CONFIG, self.config_text()), "validate": ["/usr/sbin/haproxy", "-c", "-q", "-f", "%s"]},
            _file(UNIT_FILE, self._rendered("ovms-edge-gateway.service.j2")),
            _file(SETTINGS, json.dumps(self.settings, indent=2, sort_keys=True) + "\n"),
        ]

    def config_text(self) -> str:
        """Return the configuration of HAProxy.

        It carries a digest of all that it was made of, which the running gateway tells: so a reload that
        failed is seen.
        """
        text = self._rendered("haproxy.cfg.j2")
        made_of = text + _LUA.read_text() + self.certificate + self.key
        return text.replace("@digest@", hashlib.sha256(made_of.encode()).hexdigest()[:16])

    def _keys(self) -> dict[str, Any]:
        digests = [(hashlib.sha256(key["key"].encode()).hexdigest(), key["name"]) for key in self.api_keys]
        lines = "".join(f"{digest} {name}\n" for digest, name in digests)
        return {"path": KEYS, "mode": "0640", "group": "haproxy", "secret": True, "content": lines}

    def _rendered(self, template: str) -> str:
        environment = Environment(  # noqa: S701 - it makes no HTML
            trim_blocks=True, keep_trailing_newline=True, undefined=StrictUndefined
        )
        text = (ROLES / ROLE / "templates" / template).read_text()
        return environment.from_string(text).render(gateway=self, paths=PATHS)


def _file(path: str, content: str) -> dict[str, Any]:
    return {"path": path, "mode": "0644", "content": content}


def lacking(gateway: Gateway, found: Mapping[str, Any]) -> list[str]:
    """Return the packages that the host needs and has not."""
    return [
        *(["haproxy"] if found["haproxy"] is None else []),
        *(["openssl"] if gateway.generates and not found["openssl"] else []),
    ]


def obstacles(gateway: Gateway, found: Mapping[str, Any]) -> list[str]:
    """Return what stands in the way on the host, a line each."""
    packages, system, haproxy = lacking(gateway, found), found["os"], found["haproxy"]
    lines = [
        f"ovms_gateway_subnet is {gateway.subnet}, and this host has a route to {route}; "
        "choose a network that is used nowhere here"
        for route in found["overlaps"]
    ]
    lines += [
        f"another process listens at {place}; stop it, or choose another ovms_gateway_port or "
        "ovms_gateway_metrics_address"
        for place in found["taken"]
    ]
    if packages and system["id"] not in ("debian", "ubuntu"):
        lines.append(
            f"no {' and '.join(packages)} on {system['name']}, and this role installs on Debian and Ubuntu "
            "only so far; install HAProxy 2.4 or later and openssl there by hand and run again"
        )
    if haproxy is not None and tuple(map(int, haproxy.split(".")[:2])) < OLDEST_HAPROXY:
        oldest = ".".join(map(str, OLDEST_HAPROXY))
        lines.append(f"the HAProxy of this host is {haproxy}; install {oldest} or later")
    return lines


def certificate_names(gateway: Gateway, found: Mapping[str, Any], address: str) -> str:
    """Return the names of a generated certificate, as openssl wants them.

    ``address`` is how the controller calls the host; empty if it is not known.
    """
    everywhere = ("", "0.0.0.0", "::")  # noqa: S104
    places = [place for place in (address, gateway.bind_address) if place not in everywhere]
    names = ["DNS:localhost", "IP:127.0.0.1", *map(_subject_name, places)]
    return ",".join(dict.fromkeys([f"DNS:{found['hostname']}", *names]))


def _subject_name(place: str) -> str:
    return f"{'IP' if re.fullmatch(r'[0-9.]+|.*:.*', place) else 'DNS'}:{place}"


def generation(gateway: Gateway, found: Mapping[str, Any], address: str) -> dict[str, Any] | None:
    """Return the names and openssl's configuration of the certificate to generate; None if there is none to.

    It is generated where none is given and there is none for these names with 30 days left.
    """
    names, there = certificate_names(gateway, found, address), found["certificate"]
    if not gateway.generates or not (there["due"] or there["generated_for"] != names):
        return None
    return {"names": names, "config": _OPENSSL_CONFIG.format(hostname=found["hostname"], names=names)}


def is_run(found: Mapping[str, Any]) -> bool:
    """Whether the gateway runs, now and after a boot, with the configuration that is on the disk."""
    return bool(found["current"] and found["unit"]["active"] and found["unit"]["enabled"])
