# SPDX-License-Identifier: Apache-2.0
"""What an argument spec cannot say of the inputs of roles. Private to this collection.

A check takes a role's inputs as they were written (by ``-e x=4`` a number is text) and gives a line for each
thing wrong: what, the value found, what to do. The values of secrets are in none.
"""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean

from ansible_collections.ovms.edge.plugins.plugin_utils._openpgp import fingerprint

Inputs = Mapping[str, Any]

GATEWAY_NETWORK = "ovms-edge-server"  # of OVMS itself, which ovms-node makes

_CERTIFICATE = r"\s*-----BEGIN CERTIFICATE-----"
_PRIVATE_KEY = r"\s*-----BEGIN [A-Z ]*PRIVATE KEY-----"
_RELEASE = r"[a-z0-9]+([._-][a-z0-9]+)*@[A-Za-z0-9_][A-Za-z0-9._-]*$"
_BY_DIGEST = r"[^@\s]+@sha256:[0-9a-f]{64}$"
_WHOLE = r"[1-9][0-9]*$"
_IPV4 = r"[0-9]{1,3}(\.[0-9]{1,3}){3}"
_URL = r"https?://[^/]+$"
_ROOT_URL = r"(https?|file)://[^@\s]+$"
_GUC_MOST_MS = 100_000  # what the GuC's policies hold (linux, gt/uc/intel_guc_fwif.h)
_RATE = r"(0|[0-9]+([.][0-9]+)? ?[kMG]bit)$"
_DAY = r"(mon|tue|wed|thu|fri|sat|sun)"
_TIME = r"(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)"
_WINDOW_WORDS = {"days": "mon-sun", "from": "", "to": ""}
_WINDOW = rf"{_DAY}([-,] ?{_DAY})* {_TIME} {_TIME}$"


def _is(value: Any, pattern: str) -> bool:
    return re.match(pattern, str(value)) is not None


def _yes(value: Any) -> bool:
    return bool(boolean(value, strict=False))


def host_baseline(inputs: Inputs) -> Iterator[str]:
    for name in ("host_baseline_min_memory_gib", "host_baseline_min_disk_gib"):
        if not _is(inputs[name], _WHOLE):
            yield f"{name} is {inputs[name]}; set it to a whole number of GiB, at least 1"


def intel_gpu(inputs: Inputs) -> Iterator[str]:
    root = inputs["intel_gpu_sysfs_root"]
    if not _is(root, "/"):
        yield f"intel_gpu_sysfs_root is {root}; set it to an absolute path such as /sys"
    mirror = inputs["intel_gpu_mirror"]
    if mirror is not None and not _is(mirror, _ROOT_URL):
        yield f"intel_gpu_mirror is {mirror}; write http://HOST/PATH, or null for the host's own sources"
    if inputs["intel_gpu_runtime_repository"]:
        yield from _gpu_repository(inputs["intel_gpu_runtime_repository"])
    if not _is(inputs["intel_gpu_reboot_timeout_seconds"], _WHOLE):
        yield "intel_gpu_reboot_timeout_seconds is no whole number; set it to 1 or more"
    yield from _gpu_timeouts(inputs)


def _gpu_repository(repository: Inputs) -> Iterator[str]:
    url, wanted = repository.get("url", ""), str(repository.get("fingerprint", "")).replace(" ", "").upper()
    if not _is(url, _ROOT_URL):
        yield f"intel_gpu_runtime_repository has the url {url}; write https://HOST/PATH"
    found = fingerprint(str(repository.get("key", "")))
    if found is None:
        yield "the key of intel_gpu_runtime_repository is no ASCII-armored OpenPGP key; give its text"
    elif found != wanted:
        yield (
            f"the key of intel_gpu_runtime_repository has the fingerprint {found}, not {wanted}; "
            "see whose key it is before you trust it"
        )


def _gpu_timeouts(inputs: Inputs) -> Iterator[str]:
    given = {
        name: value
        for name in ("intel_gpu_heartbeat_interval_ms", "intel_gpu_preempt_timeout_ms")
        if (value := inputs[name]) is not None
    }
    wrong = [name for name, value in given.items() if not _is(value, _WHOLE) or int(value) > _GUC_MOST_MS]
    for name in wrong:
        yield f"{name} is {given[name]}; set it to 1 to {_GUC_MOST_MS} milliseconds, or null for i915's own"
    # Below that i915 may reset the whole GPU for one engine (linux, gt/intel_engine_heartbeat.c).
    if len(given) == 2 and not wrong:
        heartbeat, preempt = (int(value) for value in given.values())
        if heartbeat < 2 * preempt:
            yield (
                f"intel_gpu_heartbeat_interval_ms is {heartbeat}, less than twice "
                f"intel_gpu_preempt_timeout_ms ({preempt}); set it to {2 * preempt} or more"
            )


def docker_engine(inputs: Inputs) -> Iterator[str]:
    size, files = inputs["docker_engine_log_max_size"], inputs["docker_engine_log_max_file"]
    if not _is(size, r"[1-9][0-9]*[kmg]$"):
        yield f"docker_engine_log_max_size is {size}; write a number and k, m or g, such as 10m"
    if not _is(files, _WHOLE):
        yield f"docker_engine_log_max_file is {files}; set it to 1 or more"
    for registry in inputs["docker_engine_registries"]:
        address = registry.get("address", "")
        if not _is(address, r"[A-Za-z0-9.-]+(:[0-9]+)?$"):
            yield (
                f"docker_engine_registries has the address {address}; "
                "write HOST or HOST:PORT, with no https://"
            )
        if registry.get("ca") and not _is(registry["ca"], _CERTIFICATE):
            yield (f"the ca of registry {address} is no PEM certificate; give the text of its CA certificate")
        if registry.get("username") and not registry.get("password"):
            yield f"registry {address} has a username and no password; give both or neither"


def node_agent(inputs: Inputs) -> Iterator[str]:
    url, state, metrics = (
        inputs[f"node_agent_{name}"] for name in ("depot_url", "state_dir", "textfile_directory")
    )
    if not _is(url, _URL):
        yield f"node_agent_depot_url is {url}; write https://HOST or https://HOST:PORT"
    if inputs["node_agent_depot_ca"] and not _is(inputs["node_agent_depot_ca"], _CERTIFICATE):
        yield (
            "node_agent_depot_ca is no PEM certificate; "
            "give the text of the depot CA certificate, or nothing for a public CA"
        )
    yield from _signers(inputs)
    yield from _mirrors(inputs["node_agent_depot_mirrors"])
    yield from _transfers(inputs)
    for name in ("transfer_connections", "transfer_give_up_seconds", "releases_kept"):
        if not _is(inputs[f"node_agent_{name}"], _WHOLE):
            yield f"node_agent_{name} is no whole number; set it to 1 or more"
    if not _is(state, "/."):
        yield f"node_agent_state_dir is {state}; set it to an absolute path"
    if metrics is not None and not _is(metrics, "/."):
        yield (
            f"node_agent_textfile_directory is {metrics}; "
            "set it to an absolute path, or leave it out for no metrics"
        )


def _signers(inputs: Inputs) -> Iterator[str]:
    allowed = inputs["node_agent_allowed_signers"]
    if not allowed:
        yield (
            "node_agent_allowed_signers is empty, so no release could ever be verified; "
            "give the public key of who signs releases"
        )
    for line in allowed:
        if not re.search("ssh-|ecdsa-|sk-", str(line)):
            yield (
                f"node_agent_allowed_signers has the line `{line}`; write it as ssh-keygen(1) says, such as "
                "`releases@example.com ssh-ed25519 AAAA...`"
            )
    for line in inputs["node_agent_revoked_signers"]:
        if not _is(line, r"\s*(ssh-|ecdsa-|sk-)"):
            yield (
                f"node_agent_revoked_signers has the line `{line}`; "
                "write a public key, such as `ssh-ed25519 AAAA...`"
            )


def _mirrors(mirrors: list[Inputs]) -> Iterator[str]:
    for mirror in mirrors:
        url = mirror.get("url", "nothing")
        if not _is(url, _URL):
            yield f"node_agent_depot_mirrors has the url {url}; write http://HOST:PORT or https://HOST:PORT"
        if mirror.get("ca") and not _is(mirror["ca"], _CERTIFICATE):
            yield f"the ca of mirror {url} is no PEM certificate; give the text of its CA certificate"


def _transfers(inputs: Inputs) -> Iterator[str]:
    schedule = inputs["node_agent_transfer_schedule"]
    for rate in (inputs["node_agent_transfer_rate"], *(window.get("rate", "missing") for window in schedule)):
        if rate is not None and not _is(rate, _RATE):
            yield (
                f"node_agent_transfer_rate or _schedule has the rate {rate}; "
                "write a number and kbit, Mbit or Gbit, or 0 for nothing"
            )
    for window in schedule:
        # Times have to be quoted in YAML: 22:00 is the number 1320 there.
        times = " ".join(str(window.get(name, usual)) for name, usual in _WINDOW_WORDS.items())
        if not _is(times, _WINDOW):
            yield (
                f"node_agent_transfer_schedule has the window {dict(window)}; "
                'write {days: mon-fri, from: "22:00", to: "06:00", rate: 50Mbit}'
            )


def model_release(inputs: Inputs) -> Iterator[str]:
    ref, image, bundle, detached = (
        inputs[f"model_release_{name}"] for name in ("ref", "image", "bundle", "detached")
    )
    if not _is(ref, _RELEASE):
        yield f"model_release_ref is {ref}; write name@version, the name in lower case"
    if image and not _is(image, _BY_DIGEST):
        yield f"model_release_image is {image}; write REPOSITORY@sha256: and the 64 digits of its digest"
    if bundle and not _is(bundle, "/."):
        yield f"model_release_bundle is {bundle}; write the absolute path of a directory on the host"
    if str(detached).lower() not in ("true", "false", "yes", "no"):
        yield f"model_release_detached is {detached}; write true or false"


def ovms_server(inputs: Inputs) -> Iterator[str]:
    release, image, servable, device, tier = (
        inputs[f"ovms_server_{name}"] for name in ("release", "image", "servable", "device", "tier")
    )
    if not _is(release, _RELEASE):
        yield f"ovms_server_release is {release}; write name@version, the name in lower case"
    if not _is(image, _BY_DIGEST if "@" in str(image) else r".*:[^/]+$"):
        yield (
            f"ovms_server_image is {image}; "
            "name it with its tag, or with @sha256: and the 64 digits of its digest"
        )
    if not _is(servable, r"\S+$"):
        yield (
            f"ovms_server_servable is `{servable}`; "
            "set it to the name that applications ask for, with no blanks"
        )
    if not _is(device, r"(CPU|GPU(\.[0-9]+)?)$"):
        yield f"ovms_server_device is {device}; set it to GPU, GPU.n or CPU"
    if tier not in ("auto", "A", "B"):
        yield f"ovms_server_tier is {tier}; set it to A (two models at a time), B (one), or auto"
    computed = "or to null and it is computed from the memory of the host"
    for name, unit in (
        ("cache_size", f"GiB such as 4, {computed}"),
        ("memory_limit_gib", f"GiB, {computed}"),
        ("start_timeout_seconds", "seconds"),
        ("answer_timeout_seconds", "seconds"),
        ("drain_timeout_seconds", "seconds"),
    ):
        value = inputs[f"ovms_server_{name}"]
        if value is not None and not _is(value, _WHOLE):
            yield f"ovms_server_{name} is {value}; set it to whole {unit}"


def site_cache(inputs: Inputs) -> Iterator[str]:
    origin, listen, directory, size = (
        inputs[f"site_cache_{name}"] for name in ("origin", "listen", "directory", "max_size")
    )
    if not _is(origin, r"https?://[A-Za-z0-9.-]+(:[0-9]+)?$"):
        yield f"site_cache_origin is {origin}; write https://HOST or https://HOST:PORT"
    if _is(origin, r"https://[0-9.]+(:[0-9]+)?$"):
        yield (
            f"site_cache_origin is {origin}, and nginx finds no address in a certificate; "
            "write the name of the depot"
        )
    if not _is(listen, r"([A-Za-z0-9.-]+:|\[[0-9a-f:]+\]:)?[0-9]+$"):
        yield f"site_cache_listen is {listen}; write PORT or ADDRESS:PORT"
    if inputs["site_cache_origin_ca"] and not _is(inputs["site_cache_origin_ca"], _CERTIFICATE):
        yield (
            "site_cache_origin_ca is no PEM certificate; "
            "give the text of the depot CA certificate, or nothing for a public CA"
        )
    if bool(inputs["site_cache_origin_user"]) != bool(inputs["site_cache_origin_password"]):
        yield (
            "only one of site_cache_origin_user and site_cache_origin_password is set; give both or neither"
        )
    if inputs["site_cache_origin_user"] and not _is(origin, "https:"):
        yield f"site_cache_origin is {origin}, where the password would travel in the clear; use https://"
    if not _is(directory, r"/[A-Za-z0-9._/-]+$"):
        yield (f"site_cache_directory is {directory}; write an absolute path of letters, digits and ._-")
    if not _is(size, r"[1-9][0-9]*[kmg]$"):
        yield f"site_cache_max_size is {size}; write a number and k, m or g, such as 20g"
    if bool(inputs["site_cache_certificate"]) != bool(inputs["site_cache_key"]):
        yield (
            "only one of site_cache_certificate and site_cache_key is set; "
            "give both, or neither for plain HTTP"
        )
    if inputs["site_cache_certificate"] and not _is(inputs["site_cache_certificate"], _CERTIFICATE):
        yield "site_cache_certificate is no PEM certificate; give its text"


def ovms_gateway(inputs: Inputs) -> Iterator[str]:
    yield from _gateway_place(inputs)
    yield from _gateway_certificate(inputs)
    yield from _gateway_limits(inputs)
    yield from _gateway_networks(inputs)
    yield from _gateway_keys(inputs["ovms_gateway_api_keys"])


def _gateway_place(inputs: Inputs) -> Iterator[str]:
    address, port, metrics = (
        inputs[f"ovms_gateway_{name}"] for name in ("bind_address", "port", "metrics_address")
    )
    if not _is(address, rf"({_IPV4}|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*)$"):
        yield f"ovms_gateway_bind_address is {address}; write an address of the host, 0.0.0.0 for all"
    if not (_is(port, r"[1-9][0-9]{0,4}$") and int(port) < 65536):
        yield f"ovms_gateway_port is {port}; write a port from 1 to 65535"
    guarded = _yes(inputs["ovms_gateway_tls"]) and inputs["ovms_gateway_api_keys"]
    if not (guarded or _is(address, r"127\.|::1$") or _yes(inputs["ovms_gateway_allow_plain"])):
        yield (
            f"ovms_gateway_bind_address is {address}, beyond the host, without TLS and keys; set "
            "ovms_gateway_tls and ovms_gateway_api_keys, or ovms_gateway_allow_plain inside a trusted network"
        )
    if metrics and not _is(metrics, rf"{_IPV4}:[0-9]+$"):
        yield f'ovms_gateway_metrics_address is {metrics}; write ADDRESS:PORT, or "" for none'


def _gateway_certificate(inputs: Inputs) -> Iterator[str]:
    certificate, key = inputs["ovms_gateway_certificate"], inputs["ovms_gateway_key"]
    if bool(certificate) != bool(key):
        yield (
            "only one of ovms_gateway_certificate and ovms_gateway_key is set; "
            "give both, or neither for a generated one"
        )
    if certificate and not _yes(inputs["ovms_gateway_tls"]):
        yield "ovms_gateway_certificate is set and ovms_gateway_tls is not; set it to true"
    if certificate and not _is(certificate, _CERTIFICATE):
        yield "ovms_gateway_certificate is no PEM certificate; give its text"
    if key and not _is(key, _PRIVATE_KEY):
        yield "ovms_gateway_key is no PEM key; give its text"


def _gateway_limits(inputs: Inputs) -> Iterator[str]:
    body, queue = inputs["ovms_gateway_max_body"], inputs["ovms_gateway_queue"]
    if not _is(body, r"[1-9][0-9]{0,8}[kmg]$"):
        yield f"ovms_gateway_max_body is {body}; write a number and k, m or g, such as 32m"
    counts = {
        name: inputs[f"ovms_gateway_{name}"] for name in ("concurrency", "timeout_seconds", "hold_seconds")
    }
    wrong = [name for name, value in counts.items() if not _is(value, r"[1-9][0-9]{0,4}$")]
    for name in wrong:
        yield f"ovms_gateway_{name} is no whole number from 1 to 99999; set it to one"
    together = 0 if "concurrency" in wrong else int(counts["concurrency"])
    if not (_is(queue, r"[0-9]{1,3}$") and int(queue) + together <= 500):
        yield f"ovms_gateway_queue is {queue}; write 0 to 500, together with ovms_gateway_concurrency"


def _gateway_networks(inputs: Inputs) -> Iterator[str]:
    subnet, alias, apps = (inputs[f"ovms_gateway_{name}"] for name in ("subnet", "alias", "apps_network"))
    if not _is_subnet(str(subnet)):
        yield (
            f"ovms_gateway_subnet is {subnet}; "
            "write the first address of a network and /16 to /29, such as 172.31.253.0/29"
        )
    if not _is(alias, r"([a-z0-9][a-z0-9.-]*)?$"):
        yield f'ovms_gateway_alias is {alias}; write a host name, or "" for none'
    if not _is(apps, r"[A-Za-z0-9][A-Za-z0-9_.-]*$") or apps == GATEWAY_NETWORK:
        yield (
            f"ovms_gateway_apps_network is {apps}; "
            "write a name for a Docker network, other than that of OVMS itself"
        )


def _is_subnet(text: str) -> bool:
    """Whether it is the first address of a network that has room for the host, two slots and Docker."""
    try:
        network = ipaddress.IPv4Network(text)
    except ValueError:
        return False
    return _is(text, rf"{_IPV4}/[0-9]+$") and 16 <= network.prefixlen <= 29


def _gateway_keys(keys: list[Inputs]) -> Iterator[str]:
    known = [(str(key.get("name", "")), str(key.get("key", ""))) for key in keys]
    for name, _ in known:
        if not _is(name, r"[A-Za-z0-9._-]{1,64}$"):
            yield f"ovms_gateway_api_keys has the name `{name}`; write letters, digits and ._-"
    for name, times in Counter(name for name, _ in known).items():
        if times > 1:
            yield (
                f"ovms_gateway_api_keys has the name {name} more than once; give each key a name of its own"
            )
    for name, key in known:
        if not _is(key, r"[A-Za-z0-9._~+/=-]{20,}$"):
            yield (
                f"the key of {name} in ovms_gateway_api_keys is shorter than 20 characters, or has others "
                "than letters, digits and ._~+/=-; make one with `openssl rand -base64 30`"
            )
    if len({key for _, key in known}) < len(known):
        yield "two names in ovms_gateway_api_keys have the same key; give each one of its own"


CHECKS: dict[str, Callable[[Inputs], Iterator[str]]] = {
    check.__name__: check
    for check in (
        host_baseline,
        intel_gpu,
        docker_engine,
        node_agent,
        ovms_gateway,
        model_release,
        ovms_server,
        site_cache,
    )
}
