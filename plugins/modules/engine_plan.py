#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

DOCUMENTATION = r"""
module: engine_plan
short_description: What a host's Docker Engine lacks
version_added: 0.1.0
author:
  - ovms-edge authors (@ovms-edge)
description:
  - Compares the inputs of role C(docker_engine), which are read from the variables, with the fact
    C(ovms_node).
  - Fails where the engine cannot be what they want, for each reason with what to do. Asks no host.
  - Warns of an engine of another source than the wanted one. It is kept.
extends_documentation_fragment: [ovms.edge.action]
attributes:
  action:
    details:
      - It needs no connection.
  check_mode:
    support: full
  diff_mode:
    support: none
    details:
      - It changes nothing.
"""

EXAMPLES = r"""
- name: Decide what the engine lacks
  ovms.edge.engine_plan:
  register: plan
"""

RETURN = r"""
packages:
  description: What apt has to install, as it wants it named.
  returned: success
  type: list
  elements: str
  sample: [docker.io=26.1.5+dfsg1-9, docker-cli=26.1.5+dfsg1-9]
selections:
  description: What dpkg has to be told of packages, C(hold) or C(install).
  returned: success
  type: dict
  sample: {docker.io: hold}
repository:
  description: Whether Docker's own repository belongs on the host.
  returned: success
  type: bool
key:
  description: The text of its key, null without it.
  returned: success
  type: str
reload:
  description: Whether the engine that runs does not keep its containers yet when it ends.
  returned: success
  type: bool
restart:
  description: Whether the engine that runs is not the one that is installed.
  returned: success
  type: bool
notes:
  description: What is not as the inputs want it, and is kept.
  returned: success
  type: list
  elements: str
"""
