#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

DOCUMENTATION = r"""
module: host_files
short_description: Bring several files of a host to their wanted state at once
version_added: 0.1.0
author:
  - ovms-edge authors (@ovms-edge)
description:
  - Writes files and directories that belong to who runs it (become root), all in one call.
  - A file is replaced by a finished one, so a lost connection or power leaves the old file or the new one.
  - Contents travel on standard input, never in a process list.
  - What was there before goes on record on the host, in C(/etc/ovms-edge/record), before it is changed, and
    C(playbooks/decommission.yml) brings it back.
options:
  files:
    description: Files and directories, brought to their state in this order.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Absolute path. Directories above it are made, with mode 0755, where there are none.
        type: path
        required: true
      mode:
        description: Permissions in octal, quoted.
        type: str
        required: true
      group:
        description: Whose group it is, by name, if not that of who runs it. Check mode does not need it yet.
        type: str
      content:
        description:
          - The file's text.
          - With none of O(files[].content), O(files[].merge), O(files[].source) the path is a directory.
        type: str
      merge:
        description:
          - What a JSON file must hold, mapping by mapping.
          - All else in it is kept, and its layout too if nothing has to change.
        type: dict
      source:
        description: A file on the controller to copy; sent only if the host's copy differs.
        type: path
      secret:
        description: Leave the content out of diffs.
        type: bool
      validate:
        description:
          - A command that tries new content before the old is replaced; C(%s) in it is the file to try.
          - If it fails, the old content is kept, and no file after it is touched. Not run in check mode.
        type: list
        elements: str
  groups:
    description: Numbers of groups that are to have a name, whatever it is. Comes before the files.
    type: list
    elements: dict
    default: []
    suboptions:
      gid:
        description: The number.
        type: int
        required: true
      name:
        description: The group that gets it if none has it, a system group if it has to be made.
        type: str
        required: true
  units:
    description:
      - Systemd units that are to be enabled and active once all files are there; systemd reads those first.
      - A unit that runs is not restarted. Timers need none, they take up what was changed.
    type: list
    elements: str
    default: []
  packages:
    description:
      - Names of packages that are about to be installed, for the record.
      - Those that are there are left out of it.
    type: list
    elements: str
    default: []
extends_documentation_fragment: [ovms.edge.action]
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
"""

EXAMPLES = r"""
- name: Write settings and the registry's CA
  ovms.edge.host_files:
    files:
      - path: /etc/docker/daemon.json
        mode: "0644"
        merge:
          log-driver: json-file
      - path: /etc/docker/certs.d/depot.example:5000/ca.crt
        mode: "0644"
        content: "{{ depot_ca }}"
  become: true

- name: Write a timer, and see that it runs
  ovms.edge.host_files:
    files:
      - path: /etc/systemd/system/example.service
        mode: "0644"
        source: example.service
      - path: /etc/systemd/system/example.timer
        mode: "0644"
        source: example.timer
    units: [example.timer]
  become: true
"""

RETURN = r"""
paths:
  description: What was changed, or would be; groups and units by their names.
  returned: always
  type: list
  elements: str
  sample: [/etc/docker/daemon.json]
"""
