"""Omniboard shows the runs: seen in a real browser, with a real server behind it."""

import json
import os
import shutil
import socket
import subprocess
import urllib.request
from pathlib import Path

import pytest
import yaml

from nn_clustering.tracking import (
    Server,
    omniboard_address,
    preset_columns,
    start_omniboard,
    stop_omniboard,
)
from nn_clustering.tracking import _processes as processes
from nn_clustering.tracking.columns import first_visit
from tests.programs import PROJECT

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
# Wide, for the table draws only the columns that are in view.
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--virtual-time-budget=10000",
    "--window-size=8000,1200",
)
COLUMNS = PROJECT / "configs" / "omniboard.yaml"


def require(is_there, what):
    if is_there:
        return
    if os.environ.get("NN_CLUSTERING_REQUIRE_BROWSER") == "1":
        pytest.fail(f"{what} is missing, and NN_CLUSTERING_REQUIRE_BROWSER=1")
    pytest.skip(f"{what} is missing")


@pytest.fixture(scope="module")
def node():
    require(shutil.which("node") and shutil.which("npm"), "Node.js with npm")


@pytest.fixture
def browser(tmp_path):
    """Returns the page at an address as text, after its scripts have run."""
    require(BROWSER, "chromium")

    def dump(address, *options):
        profile = f"--user-data-dir={tmp_path / 'profile'}"
        command = [BROWSER, *FLAGS, profile, *options, "--dump-dom", address]
        shown = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        return shown.stdout

    return dump


@pytest.fixture
def omniboard(node, home, server, database):
    """Address of Omniboard on the test's database."""
    messages = []
    address = start_omniboard(server, home, say=messages.append)
    assert address is not None, messages
    yield address
    stop_omniboard(home)


def fetch(address, **options):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(address, **options)
    with opener.open(request, timeout=20) as reply:
        return json.load(reply)


def omniboard_pid(home):
    return processes.read_state(home / ".mongo" / "omniboard.json")["pid"]


def test_runs_and_preset_columns_are_on_the_page(omniboard, browser, run_sample, database):
    for action in ("succeed", "fail"):
        run_sample(action)
    preset_columns(database, COLUMNS)
    page = browser(f"{omniboard}/sacred")
    for text in ("sample", "Completed", "Failed", "succeed"):
        assert text in page
    columns = yaml.safe_load(COLUMNS.read_text())
    for column in columns["metric_columns"] + columns["config_columns"]:
        # The header capitalises each word between underscores.
        assert column["name"].lower() in page.lower()
    assert ">1.5<" in page  # result.ncut of the run that completed
    assert database["runs"].find_one({"status": "COMPLETED"})["result"]["ncut"] == 1.5


def test_first_visit_shows_the_listed_columns_with_their_values(
    node, browser, home, server, database, run_sample
):
    run_sample("succeed")
    preset_columns(database, COLUMNS)
    layout = first_visit(COLUMNS)
    address = start_omniboard(server, home, layout=layout)
    try:
        page = browser(address)
    finally:
        stop_omniboard(home)
    assert ">1.5<" in page  # result.ncut
    headers = [page.lower().find(f">{name}<") for name in ("network", "n-cut", "z-score", "tags")]
    assert -1 not in headers
    assert headers == sorted(headers)
    assert {"format", "heartbeat"} <= set(layout["hidden"])


def test_metric_column_shows_the_last_value(omniboard, run_sample, database, tmp_path):
    run_sample("succeed")
    path = tmp_path / "columns.yaml"
    path.write_text("metric_columns: [{name: acc, metric_name: test.accuracy, extrema: last}]")
    preset_columns(database, path)
    (run,) = fetch(f"{omniboard}/sacred/api/v1/Runs?select=_id,result,acc")
    assert run["acc"] == 1.0


def test_it_listens_on_loopback_alone(omniboard):
    port = int(omniboard.rpartition(":")[2])
    listening = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            if state == "0A" and int(local.rpartition(":")[2], 16) == port:
                listening.add(local.rpartition(":")[0])
    assert listening == {"0100007F"}


def test_second_start_finds_the_first(omniboard, home, server):
    pid = omniboard_pid(home)
    assert start_omniboard(server, home) == omniboard == omniboard_address(home)
    assert omniboard_pid(home) == pid


def test_other_database_restarts_it(omniboard, home, server):
    pid = omniboard_pid(home)
    other = Server(server.url, "another", embedded=True)
    address = start_omniboard(other, home)
    assert omniboard_pid(home) != pid
    assert not processes.is_alive(pid)
    assert fetch(f"{address}/api/v1/databases")[0]["name"] == "another"


def test_killed_omniboard_is_started_again(omniboard, home, server):
    os.kill(omniboard_pid(home), 9)
    assert processes.wait_until_gone(omniboard_pid(home), 10)
    assert omniboard_address(home) is None
    assert start_omniboard(server, home) is not None


def test_taken_port_is_avoided(node, home, server, database):
    with socket.socket() as taken:
        if processes.is_free(9000):
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind(("127.0.0.1", 9000))
            taken.listen()
        address = start_omniboard(server, home)
        assert address is not None
        assert not address.endswith(":9000")
        stop_omniboard(home)


def test_address_of_the_database_is_in_no_argument(omniboard, home, server):
    arguments = " ".join(processes.command_line(omniboard_pid(home)))
    assert "mongodb" not in arguments
    assert server.address not in arguments


def test_stop_is_harmless_twice(omniboard, home):
    pid = omniboard_pid(home)
    assert stop_omniboard(home)
    assert not processes.is_alive(pid)
    assert not stop_omniboard(home)
    assert not stop_omniboard(home / "nothing here")


def test_without_node_it_says_so_and_goes_on(monkeypatch, tmp_path, server):
    monkeypatch.setenv("PATH", str(tmp_path))
    messages = []
    assert start_omniboard(server, tmp_path, say=messages.append) is None
    (message,) = messages
    assert "Node.js" in message
    assert "\n" not in message


def test_lock_file_pins_without_hosts():
    lock = json.loads((PROJECT / "devops" / "omniboard" / "package-lock.json").read_text())
    packages = [package for name, package in lock["packages"].items() if name]
    assert lock["packages"]["node_modules/omniboard"]["version"] == "2.16.1"
    assert all("integrity" in package or package.get("inBundle") for package in packages)
    assert not any("resolved" in package for package in packages)
