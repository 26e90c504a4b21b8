#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

DOCUMENTATION = r"""
module: release
short_description: Bring a release onto a store host and verify it
version_added: 0.1.0
author:
  - ovms-edge authors (@ovms-edge)
description:
  - Asks C(ovms-node stage) to fetch what the host lacks of a release and to verify signature and files.
  - The release is on the host complete and verified, or not at all. Nothing that serves is touched.
  - What is there already is not fetched again, and what a cut link or a kill left half done is gone on with.
options:
  release:
    description: The release, C(name@version).
    type: str
    required: true
  image:
    description: The server's image, C(REPOSITORY@sha256:DIGEST), to have on the host too.
    type: str
  bundle:
    description: A directory of the host, made by C(ovms-edge release export-bundle), instead of the depot.
    type: path
  verify:
    description: Read every byte of what is staged already, instead of comparing sizes.
    type: bool
    default: false
  detached:
    description:
      - Run it in a unit of the host's systemd, apart from the connection, and ask how it goes.
      - It goes on if the controller or the link goes away. Run again, this takes up what runs there.
    type: bool
    default: false
  start:
    description: With O(detached=true), whether to start it. If not, wait for what an earlier task started.
    type: bool
    default: true
  wait:
    description:
      - With O(detached=true), whether to wait for its end and show how it goes, a line per host.
      - >-
        A task with O(wait=false), and one with O(start=false) after it, let all hosts fetch at once, with
        however few forks.
    type: bool
    default: true
  poll_seconds:
    description: Seconds between two questions how it goes.
    type: float
    default: 5
  lost_seconds:
    description: Seconds without an answer after which a host is no longer waited for. It goes on there.
    type: float
    default: 600
extends_documentation_fragment: [ovms.edge.action]
attributes:
  check_mode:
    support: full
    details:
      - Shows how many bytes would be fetched, in which time at the configured rate, and the disk needed.
      - On a host without C(ovms-node) it only says that the release would be staged.
  diff_mode:
    support: full
    details:
      - Lists the files of the release and how each comes.
"""

EXAMPLES = r"""
- name: Stage the release
  ovms.edge.release:
    release: qwen2.5-vl-7b-instruct-int8@1.0.0
  become: true

- name: Stage a release that takes hours, and watch it
  ovms.edge.release:
    release: qwen2.5-vl-7b-instruct-int8@1.1.0
    detached: true
    poll_seconds: 10
  become: true
"""

RETURN = r"""
ok:
  description: Whether the release is on the host now, or would be.
  returned: when ovms-node answered
  type: bool
  sample: true
release:
  description: The release.
  returned: success
  type: str
  sample: qwen2.5-vl-7b-instruct-int8@1.0.0
fetch_bytes:
  description: Bytes that were, or would be, fetched.
  returned: success
  type: int
  sample: 126353408
bytes:
  description: Bytes of the whole release.
  returned: success
  type: int
  sample: 8232931328
disk_bytes:
  description: Bytes of disk that it would take at most.
  returned: check mode
  type: int
  sample: 8232931328
seconds:
  description: Seconds that fetching would take at the configured rate, or null with none.
  returned: check mode
  type: float
  sample: 101.1
files:
  description: Each file with its size, how it comes, and the bytes of it that are fetched.
  returned: check mode
  type: list
  elements: dict
  sample: [{path: openvino_language_model.bin, size: 7630000000, how: residual, fetch_bytes: 126353408}]
unit:
  description: The host's systemd unit that stages it.
  returned: with O(detached=true) and O(wait=false)
  type: str
  sample: ovms-edge-stage

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
