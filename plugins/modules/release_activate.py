#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

DOCUMENTATION = r"""
module: release_activate
short_description: Make the server serve a staged release
version_added: 0.1.0
author:
  - ovms-edge authors (@ovms-edge)
description:
  - Asks C(ovms-node activate) to start the server on a staged release, and lets the gate decide.
  - Where the gate refuses, the host serves again what it served before, and the task fails.
  - No request fails meanwhile. They go on to the old server, or wait in the gateway.
  - Settings travel on standard input, never in a process list.
options:
  release:
    description: The staged release, C(name@version).
    type: str
    required: true
  server:
    description:
      - Settings of the server, such as C(image), C(servable), C(tier), C(device), C(cache_size), C(graph).
      - C(docs/contracts.md) lists them all. Every key but C(image) has a default.
    type: dict
    required: true
  retry:
    description: Try what has failed on this host before.
    type: bool
    default: false
extends_documentation_fragment: [ovms.edge.action]
attributes:
  check_mode:
    support: full
    details:
      - On a host without C(ovms-node) it only says that the release would be activated.
  diff_mode:
    support: full
"""

EXAMPLES = r"""
- name: Serve the release
  ovms.edge.release_activate:
    release: qwen2.5-vl-7b-instruct-int8@1.0.0
    server:
      image: depot.example:5000/openvino/model_server:2025.4.1-gpu
      cache_size: 4
  become: true
"""

RETURN = r"""
gate:
  description: What the running service answered. See M(ovms.edge.node_verify).
  returned: when the gate was asked
  type: dict
  sample: {ok: true, state: AVAILABLE, first_token_seconds: 0.8}
serving:
  description: The release that serves now, or null.
  returned: failure
  type: str
  sample: qwen2.5-vl-7b-instruct-int8@1.0.0
tier:
  description: How the switch was made, C(A) beside the old server or C(B) in its place.
  returned: when there was one
  type: str
  sample: A
steps:
  description: Seconds from the beginning of the switch to the end of each step.
  returned: when there was a switch
  type: dict
  sample: {begun: 0.0, created: 0.1, started: 0.4, gated: 41.2, committed: 41.2, routed: 41.3, removed: 44.6}
memory:
  description: What the refused server took and what the host had left, in bytes.
  returned: failure
  type: dict
  sample: {host_total_bytes: 33285996544, host_available_bytes: 12884901888, container_bytes: 9663676416}
log_tail:
  description: The last lines that the server logged.
  returned: failure
  type: list
  elements: str
  sample: ["[error] Requested KV-cache size is larger than available memory size on the system."]

reason:
  description: Cause and object of a refusal or failure.
  returned: failure
  type: str
  sample: "no space on /var/lib/ovms-edge: 9.1 GiB needed, 3.2 GiB free"
remedy:
  description: What to do about it.
  returned: failure
  type: str
  sample: free space on /var/lib/ovms-edge
"""
