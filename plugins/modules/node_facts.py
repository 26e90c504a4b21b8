#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

DOCUMENTATION = r"""
module: node_facts
short_description: What a store host is, has and serves
version_added: 0.1.0
author:
  - ovms-edge authors (@ovms-edge)
description:
  - Asks C(ovms-node facts) and keeps the answer as the fact C(ovms_node).
  - On a host that has no C(ovms-node) yet, a temporary copy of it runs and leaves nothing behind.
  - Become root, or what only root may see is missing.
options:
  sysfs_root:
    description: Where sysfs is. What the host's settings say, or C(/sys), if not given.
    type: str
  state_dir:
    description: Where state is kept. What the host's settings say, or C(/var/lib/ovms-edge), if not given.
    type: str
  docker_root:
    description: Where Docker Engine should keep its data, and whose disk counts. If left out, where it does.
    type: str
extends_documentation_fragment: [ovms.edge.action]
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
    details:
      - It changes nothing.
"""

EXAMPLES = r"""
- name: Gather the node's facts
  ovms.edge.node_facts:

- name: Show the render group
  ansible.builtin.debug:
    var: ansible_facts['ovms_node']['gpu']['render_gid']
"""

RETURN = r"""
ansible_facts:
  description: The one new fact.
  returned: success
  type: dict
  contains:
    ovms_node:
      description:
        - Operating system, kernel, memory, disk, clock, iGPU, Docker Engine, releases, the active release.
        - The iGPU, the active and previous release, and the server are null where there is none.
      type: dict
      sample:
        os: {id: debian, version_id: "12"}
        memory: {total_bytes: 33285996544, available_bytes: 31138512896}
        gpu: {pci_id: "8086:7d55", driver: i915, render_node: /dev/dri/renderD128, render_gid: 992}
        docker: {installed: true, running: true, version: 26.1.5}
        active: {release: qwen2.5-vl-7b-instruct-int8@1.0.0}

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
