"""Stores from an inventory: the same as Ansible's own commands say, for every way to write one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from ovms_edge.errors import EdgeError
from ovms_edge.rollout.inventory import Inventory, load_stores
from ovms_edge.rollout.plain_inventory import PlainInventory
from ovms_edge.rollout.plain_yaml import NotPlainError, read_plain
from ovms_edge.rollout.stores import Store
from tests.unit.netbox_api import TOKEN, netbox

PROJECT = Path(__file__).resolve().parents[2]
EXAMPLES = PROJECT / "inventory"

# Values say where they come from; what must win is what Ansible says wins, not what is written here.
TRICKY: dict[str, str] = {
    "hosts.yml": """
all:
  vars: {store_region: all, store_timezone: Etc/GMT, store_hardware: all, store_tags: [all]}
stores:
  children:
    east:
      children:
        east-coast:
          hosts:
            shop-[01:03]:
              store_hardware: host
            shop-[a:b].example:
          vars: {store_region: east-coast, store_tags: [inner]}
      vars: {store_region: east, store_timezone: Asia/Tokyo, store_tags: [outer]}
    west:
      hosts: {shop-02: , shop-w: , "10.0.0.1": }
      vars: {store_region: west, store_hardware: west, ansible_group_priority: 10}
    aaa:
      hosts: {shop-02: , shop-w: , shop-03: }
      vars: {store_region: aaa, store_hardware: aaa, store_tags: []}
flat:
  hosts: {shop-02: , shop-w: , lonely: {store_tags: }}
  vars: {store_hardware: flat, store_region: flat}
""",
    "more.ini": """
[flat]
ini-[1:2] store_region=ini store_tags='["of", "ini"]'
[zzz:children]
flat
[zzz:vars]
store_timezone=Europe/Rome
""",
    "group_vars/all.yml": "store_timezone: Africa/Lagos\nstore_tags: [all-file]\n",
    "group_vars/east.yml": "store_region: east-file\n",
    "group_vars/east-coast/one.yml": "store_hardware: east-coast-1\n",
    "group_vars/east-coast/two.yaml": "store_hardware: east-coast-2\nother: '{{ template }}'\n",
    "group_vars/west": "store_timezone: America/Denver\n",
    "group_vars/flat.json": '{"store_tags": ["flat", "json"]}',
    "host_vars/shop-03.yml": "store_region: own-file\nstore_region: own-file-twice\n",
    "host_vars/shop-a.example/x.yml": "store_tags: [own]\n",
    "host_vars/10.0.0.1": "store_tags: [address]\n",
    "host_vars/ini-2.yml": "store_region: '07'\n",
}


def write(directory: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(content)
    return directory


def said_by_ansible(inventory: Path, cwd: Path) -> dict[str, Store]:
    environment = {**os.environ, "ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg")}
    command = [sys.executable, "-m", "ansible", "inventory", "-i", str(inventory), "--list"]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=True)
    hosts: dict[str, dict[str, Any]] = json.loads(done.stdout)["_meta"]["hostvars"]
    return {
        name: Store(
            name,
            variables.get("store_region") or "",
            variables.get("store_timezone") or "UTC",
            variables.get("store_hardware") or "",
            tuple(variables.get("store_tags") or ()),
        )
        for name, variables in hosts.items()
    }


@pytest.mark.parametrize("source", [".", "hosts.yml"])
def test_values_are_those_of_ansible(tmp_path: Path, source: str) -> None:
    inventory = write(tmp_path / "fleet", TRICKY) / source
    ours = {store.name: store for store in load_stores(inventory, "all")}
    assert ours == said_by_ansible(inventory, tmp_path)
    assert len(set(ours.values())) == len(ours)
    assert ours["shop-03"].region == "own-file-twice"


PLAIN = [
    TRICKY["hosts.yml"],
    "stores: {hosts: {a: {store_region: x, other: [1, 0x10, 2.5, 2020-01-01, null, ~, yes, 'yes', [{}]]}}}",
    "stores:\n  hosts:\n    a:\n    b: {}\n  children:\n  vars:\n",
    "---\nstores:\n  hosts:\n    a:\n      store_hardware: x-1\n      more: |\n        two\n        lines\n",
    "stores: {children: {b-c: }}\nb-c: {hosts: {'x:2222': {store_region: ':'}, 'y[0:2]z': }}\n",
    '# a comment\nstores: {hosts: {a: {store_region: "te\\u0078t"}}}',
]
ODD = [
    "stores: {hosts: {a: {store_region: x, store_region: y}}}",
    "stores: {hosts: {a: {store_region: !unsafe x}}}",
    "stores: {hosts: {a: {store_region: &r x, store_hardware: *r}}}",
    "x: &x {store_region: x}\nstores: {hosts: {a: {<<: *x}}}",
    "stores: {hosts: a}",
    "stores: {hosts: {a: {other: '{{ x }}', store_region: x}}}",
    "stores: {hosts: {a: {'not a name': x, store_region: x}}}",
    "stores: {hosts: {a: }, unknown: {}}",
    '{"stores": {"hosts": {"a": {"store_region": "x", "other": 1e3}}}}',
]


@pytest.mark.parametrize("text", [*PLAIN, *ODD])
def test_what_is_read_fast_means_what_it_means_to_ansible(
    tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, {"hosts.yml": text}) / "hosts.yml"
    assert PlainInventory().verify_file(str(path)) is (text in PLAIN)
    fast = load_stores(path, "all")
    monkeypatch.setattr(PlainInventory, "allowed", staticmethod(lambda: False))
    assert fast == load_stores(path, "all")


@pytest.mark.parametrize("text", PLAIN)
def test_plain_yaml_is_what_pyyaml_says(text: str) -> None:
    assert read_plain(text) == yaml.safe_load(text)


@pytest.mark.parametrize(
    "text", ["", "a: [", "a: 1\n---\nb: 1", "a: !x 1", "1: a", "a: <<", "- &a b", "d: 2020-99-99"]
)
def test_what_is_not_plain_is_left_to_others(text: str) -> None:
    with pytest.raises(NotPlainError):
        read_plain(text)


def test_stores_come_in_the_order_in_which_the_inventory_names_them(tmp_path: Path) -> None:
    inventory = Inventory.load(write(tmp_path, TRICKY))
    assert [store.name for store in inventory.stores("stores")] == [
        "shop-01",
        "shop-02",
        "shop-03",
        "shop-a.example",
        "shop-b.example",
        "shop-w",
        "10.0.0.1",
    ]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("stores:!west", ["shop-01", "shop-03", "shop-a.example", "shop-b.example"]),
        ("west,lonely", ["shop-02", "shop-w", "10.0.0.1", "lonely"]),
        ("stores:&flat", ["shop-02", "shop-w"]),
        ("~shop-0[12]", ["shop-01", "shop-02"]),
        ("ini-*", ["ini-1", "ini-2"]),
        ("aaa[0]", ["shop-02"]),
    ],
)
def test_patterns_are_those_of_ansible(tmp_path: Path, pattern: str, names: list[str]) -> None:
    inventory = Inventory.load(write(tmp_path, TRICKY))
    assert [store.name for store in inventory.stores(pattern)] == names


def test_the_static_example_has_regions_time_zones_hardware_and_tags() -> None:
    stores = load_stores(EXAMPLES / "example", "stores")
    assert stores[0] == Store("store-001", "north", "Europe/Berlin", "mtl-32", ("canary", "flagship"))
    assert stores[1] == Store("store-002", "north", "Europe/Berlin", "mtl-16", ())
    assert stores[-1] == Store("store-103", "south", "Europe/Lisbon", "mtl-32", ())


def run_apart(inventory: Path | str, **environment: str) -> list[Store]:
    """Load in a process of its own, where Ansible finds plugins of collections as in a command."""
    code = (
        "import json, sys, dataclasses\n"
        "from ovms_edge.rollout.inventory import load_stores\n"
        "stores = load_stores(sys.argv[1] or None, 'stores')\n"
        "print(json.dumps([dataclasses.asdict(store) for store in stores]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(inventory)],
        cwd=PROJECT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return [Store(**{**store, "tags": tuple(store["tags"])}) for store in json.loads(done.stdout)]


def test_the_inventory_is_that_of_ansibles_configuration(tmp_path: Path) -> None:
    write(tmp_path, {"one.yml": "stores: {hosts: {a: }}", "two.yml": "stores: {hosts: {b: }}"})
    assert run_apart("", ANSIBLE_INVENTORY=f"{tmp_path}/two.yml,{tmp_path}/one.yml") == [
        Store("b"),
        Store("a"),
    ]


def test_variables_in_a_vault_are_read_with_the_configured_password(tmp_path: Path) -> None:
    write(tmp_path, {"password": "secret\n", "fleet/hosts.yml": "stores: {hosts: {a: }}"})
    secret = (
        write(tmp_path, {"fleet/group_vars/stores.yml": "store_region: hidden\n"})
        / "fleet/group_vars/stores.yml"
    )
    password = {"ANSIBLE_VAULT_PASSWORD_FILE": str(tmp_path / "password")}
    command = [sys.executable, "-m", "ansible", "vault", "encrypt", str(secret)]
    subprocess.run(command, cwd=PROJECT, env={**os.environ, **password}, capture_output=True, check=True)
    assert run_apart(tmp_path / "fleet", **password) == [Store("a", "hidden")]
    with pytest.raises(EdgeError, match=r"Ansible cannot read .*vault.*ansible\.cfg"):
        load_stores(tmp_path / "fleet", "stores")


def test_a_table_is_an_inventory_like_any_other(tmp_path: Path) -> None:
    shutil.copytree(EXAMPLES / "example-csv", tmp_path, dirs_exist_ok=True)
    write(tmp_path, {"group_vars/region_south.yml": "store_tags: [all-south]\n"})
    assert run_apart(tmp_path) == [
        Store("store-001", "north", "Europe/Berlin", "mtl-32", ("canary", "flagship")),
        Store("store-002", "north", "Europe/Berlin", "mtl-16", ()),
        Store("store-101", "south", "Europe/Lisbon", "mtl-32", ("all-south",)),
        Store("store-102", "south", "Atlantic/Azores", "mtl-32", ("canary",)),
    ]


def test_netbox_gives_all_that_rollouts_ask_for(tmp_path: Path) -> None:
    shutil.copytree(EXAMPLES / "example-netbox", tmp_path / "fleet")
    source = tmp_path / "fleet" / "10_netbox.yml"
    with netbox() as url:
        source.write_text(source.read_text().replace("https://netbox.example", url))
        stores = run_apart(
            tmp_path / "fleet", NETBOX_TOKEN=TOKEN, ANSIBLE_LOCAL_TEMP=str(tmp_path / "ansible" / "tmp")
        )
    assert stores == [
        Store("store-001", "north", "Europe/Berlin", "nuc-14-pro-32", ("canary", "flagship")),
        Store("store-002", "north", "Europe/Berlin", "nuc-14-pro-16", ()),
        Store("store-003", "", "UTC", "nuc-14-pro-32", ("canary",)),
    ]


def test_the_netbox_example_has_only_options_that_the_plugin_knows() -> None:
    given = yaml.safe_load((EXAMPLES / "example-netbox" / "10_netbox.yml").read_text())
    command = [sys.executable, "-m", "ansible", "doc", "-t", "inventory", "-j", given["plugin"]]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
    options = json.loads(done.stdout)[given["plugin"]]["doc"]["options"]
    commented = {"cache", "cache_plugin", "cache_connection", "cache_timeout"}
    assert (given.keys() | commented) - options.keys() == set()
    assert {name for name, option in options.items() if option.get("required")} <= given.keys()


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ("store_tags: canary", "store_tags is 'canary'; write a list"),
        ("store_tags: [1]", "store_tags has 1, which is no text; put quotes around it"),
        ("store_region: NO", "store_region has False, which is no text"),
        ("store_region: 07", "store_region has 7, which is no text"),
        ("store_hardware: {a: b}", "store_hardware has {'a': 'b'}, which is no text"),
        ("store_hardware: '{{ model }}'", "store_hardware is a template, '{{ model }}'; write the value"),
        ("store_tags: ['{{ model }}']", "store_tags is a template"),
        ("store_timezone: Berlin", "store_timezone is 'Berlin', which is no time zone"),
        ("store_timezone: ../etc/passwd", "which is no time zone"),
    ],
)
def test_a_value_that_is_none_names_the_store(tmp_path: Path, variables: str, said: str) -> None:
    write(tmp_path, {"hosts.yml": "stores: {hosts: {a: }}\n", "group_vars/stores.yml": f"{variables}\n"})
    with pytest.raises(EdgeError) as raised:
        load_stores(tmp_path, "stores")
    assert str(raised.value).startswith("a: ")
    assert said in str(raised.value)


def test_an_inventory_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(EdgeError, match=r"there is no inventory .*/nowhere; correct -i"):
        load_stores(tmp_path / "nowhere", "stores")


@pytest.mark.parametrize("pattern", ["nobody", "stores:!stores", "localhost", "~("])
def test_a_pattern_that_matches_nothing_is_named(
    tmp_path: Path, pattern: str, capsys: pytest.CaptureFixture[str]
) -> None:
    inventory = Inventory.load(write(tmp_path, TRICKY))
    capsys.readouterr()
    with pytest.raises(EdgeError) as raised:
        inventory.stores(pattern)
    assert repr(pattern) in raised.value.reason
    assert capsys.readouterr() == ("", "")


def test_a_part_of_a_pattern_that_matches_nothing_is_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inventory = Inventory.load(write(tmp_path, TRICKY))
    assert [store.name for store in inventory.stores("lonely,no-such-store")] == ["lonely"]
    printed = capsys.readouterr()
    assert "no-such-store" in printed.err
    assert printed.out == ""


def test_an_inventory_that_ansible_refuses_is_refused(tmp_path: Path) -> None:
    write(tmp_path, {"hosts.yml": "stores: {hosts: {a: }}\n", "group_vars/stores.yml": "a: [\n"})
    with pytest.raises(EdgeError, match="Ansible cannot read"):
        load_stores(tmp_path, "stores")


def test_a_table_of_stores_takes_little_time_and_memory(tmp_path: Path) -> None:
    rows = (
        f"store-{n:06},192.0.2.{n & 255},region-{n % 40},Europe/Berlin,mtl-{16 << n % 3},tag-{n % 50}\n"
        for n in range(20_000)
    )
    head = "store,ansible_host,store_region,store_timezone,store_hardware,store_tags\n"
    write(tmp_path, {"stores.csv": head + "".join(rows)})
    shutil.copy(EXAMPLES / "example-csv" / "stores.yml", tmp_path)
    code = (
        "import resource, sys\n"
        "from ovms_edge.rollout.inventory import load_stores\n"
        "assert len(load_stores(sys.argv[1], 'stores')) == 20_000\n"
        # Not ru_maxrss: it begins with that of this process.
        "used = resource.getrusage(resource.RUSAGE_SELF)\n"
        "peak = next(line for line in open('/proc/self/status') if line.startswith('VmHWM:'))\n"
        "print(used.ru_utime + used.ru_stime, int(peak.split()[1]) / 1024)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
    cpu_seconds, mib = map(float, done.stdout.split())
    assert cpu_seconds < 15
    assert mib < 200
