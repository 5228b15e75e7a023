"""Omniboard shows the runs and changes none: seen in a real browser, with a real server behind."""

import contextlib
import datetime
import http.client
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
import urllib.parse
import urllib.request
import uuid
from dataclasses import replace
from pathlib import Path

import gridfs
import pytest
import yaml

from nn_clustering.tracking import (
    Server,
    connect,
    omniboard_address,
    preset_columns,
    resolve_server,
    run_address,
    start_omniboard,
    stop_embedded,
    stop_omniboard,
)
from nn_clustering.tracking.omniboard import page
from nn_clustering.tracking.omniboard.column_presets import first_visit
from nn_clustering.tracking.server import processes
from nn_clustering.tracking.server.connection import url_with_database
from tests.browsing import BROWSER, look_at, require
from tests.programs import PROJECT, environment

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
COLUMNS = PROJECT / "configs" / "omniboard_columns.yaml"
PACKAGE = PROJECT / "devops" / "omniboard"
API = "sacred/api/v1"
NOON = datetime.datetime(2026, 1, 1, 12)


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
def visit(tmp_path, node):
    """Looks at a page in a browser, with clicks between: gives what each expression gave there."""
    require(BROWSER, "chromium")
    return lambda address, *expressions: look_at(address, *expressions, folder=tmp_path)


@pytest.fixture(scope="module")
def server(embedded_server):
    """A database of these tests' own, with the user that only reads."""
    name = f"test_{uuid.uuid4().hex}"
    return replace(embedded_server, database=name)


@pytest.fixture
def database(server):
    """It is empty again after each test."""
    database = connect(server)
    yield database
    database.client.drop_database(database.name)
    database.client.close()


@pytest.fixture(scope="module")
def shared_omniboard(node, home, server):
    """One on the database of these tests, started again where a test has stopped it."""

    def start():
        messages = []
        address = start_omniboard(server, home, say=messages.append)
        assert address is not None, messages
        return address

    yield start
    stop_omniboard(home)


@pytest.fixture
def omniboard(shared_omniboard, database):
    """Address of Omniboard on the test's database."""
    return shared_omniboard()


@pytest.fixture
def own_home(tmp_path):
    """A home whose servers a test may kill, or start as it likes."""
    folder = tmp_path / "own home"
    folder.mkdir()
    yield folder
    stop_omniboard(folder)
    stop_embedded(folder)


def fetch(address, **options):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(address, **options)
    with opener.open(request, timeout=20) as reply:
        return json.load(reply)


def ask(address, path, method="GET", headers=None):
    """Status, headers and body of the answer, as they come; headers may be such as urllib makes."""
    host = address.partition("://")[2]
    connection = http.client.HTTPConnection(host, timeout=20)
    try:
        body = b'{"config": {"seed": 2}}' if method in ("POST", "PUT", "PATCH") else None
        headers = {"Content-Type": "application/json", **(headers or {})}
        connection.request(method, f"/{path}", body=body, headers=headers)
        reply = connection.getresponse()
        return reply.status, reply.headers, reply.read()
    finally:
        connection.close()


def wait_for(condition, seconds=180):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def answers(address):
    try:
        return "count" in fetch(f"{address}/{API}/Runs/count")
    except (OSError, ValueError):
        return False


def omniboard_pid(home):
    return processes.read_state(home / ".mongo" / "omniboard.json")["pid"]


def supervised_pid(supervisor):
    """The process that the supervisor started, None where it has none just now."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
            except OSError:
                continue
            if int(parent) == supervisor:
                return int(entry.name)
    return None


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
    node, browser, own_home, server, database, run_sample
):
    run_sample("succeed")
    preset_columns(database, COLUMNS)
    layout = first_visit(COLUMNS)
    page = browser(start_omniboard(server, own_home, layout=layout))
    assert ">1.5<" in page  # result.ncut
    headers = [
        page.lower().find(f">{name}<") for name in ("status", "tags", "notes", "n-cut", "z-score")
    ]
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


def listening_addresses(port):
    listening = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            if state == "0A" and int(local.rpartition(":")[2], 16) == port:
                listening.add(local.rpartition(":")[0])
    return listening


def test_it_listens_on_loopback_alone(omniboard):
    assert listening_addresses(int(omniboard.rpartition(":")[2])) == {"0100007F"}


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


def test_killed_supervisor_takes_omniboard_along(omniboard, home, server):
    supervisor = omniboard_pid(home)
    child = supervised_pid(supervisor)
    os.kill(supervisor, signal.SIGKILL)
    assert processes.wait_until_gone(supervisor, 10)
    assert processes.wait_until_gone(child, 10)
    assert omniboard_address(home) is None
    assert start_omniboard(server, home) is not None


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_omniboard_that_ends_or_hangs_is_started_again(omniboard, home, number):
    child = supervised_pid(omniboard_pid(home))
    os.kill(child, number)
    wait_for(lambda: not processes.is_alive(child))
    wait_for(lambda: answers(omniboard))


def test_file_that_is_not_there_does_not_end_it(omniboard, home):
    child = supervised_pid(omniboard_pid(home))
    with pytest.raises((OSError, http.client.HTTPException)):
        ask(omniboard, f"{API}/files/download/{'0' * 24}/x")
    wait_for(lambda: not processes.is_alive(child))
    wait_for(lambda: answers(omniboard))


def test_it_finds_back_after_an_outage_of_mongodb(node, own_home):
    environ = environment(own_home)
    server = resolve_server(environ)
    address = start_omniboard(server, own_home)
    child = supervised_pid(omniboard_pid(own_home))
    mongod = processes.read_state(own_home / ".mongo" / "server.json")["pid"]
    os.kill(mongod, signal.SIGKILL)
    # After half a minute Omniboard by itself is lost for good; it is replaced before.
    wait_for(lambda: supervised_pid(omniboard_pid(own_home)) not in (None, child))
    assert not answers(address)
    assert resolve_server(environ) == server
    wait_for(lambda: answers(address))
    log = (own_home / ".mongo" / "omniboard.log").read_text()
    assert len(log.splitlines()) < 120
    assert server.reader_url.partition("@")[0] not in log


def test_outage_at_its_start_is_survived(node, own_home):
    environ = environment(own_home)
    server = resolve_server(environ)
    port = processes.pick_port(None)
    os.kill(processes.read_state(own_home / ".mongo" / "server.json")["pid"], signal.SIGKILL)
    log = own_home / "log"
    with supervised(PACKAGE, server, port, log) as address:
        wait_for(lambda: log.read_text().count("ECONNREFUSED") >= 2)  # it has tried in vain
        assert not answers(address)
        assert resolve_server(environ) == server
        wait_for(lambda: answers(address))


def test_port_that_another_takes_meanwhile_is_left_to_it(node, own_home, server, monkeypatch):
    pick_port = processes.pick_port
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        monkeypatch.setattr(
            processes, "pick_port", lambda wanted: taken if wanted else pick_port(None)
        )
        address = start_omniboard(server, own_home)
    assert address is not None
    assert address != f"http://127.0.0.1:{taken}"
    assert fetch(f"{address}/api/v1/databases")[0]["name"] == server.database


def test_taken_port_is_avoided(node, own_home, server, database):
    with socket.socket() as taken:
        if processes.is_free(9000):
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind(("127.0.0.1", 9000))
            taken.listen()
        address = start_omniboard(server, own_home)
        assert address is not None
        assert not address.endswith(":9000")


def test_address_of_the_database_is_in_no_argument(omniboard, home, server):
    supervisor = omniboard_pid(home)
    for pid in (supervisor, supervised_pid(supervisor)):
        arguments = " ".join(processes.command_line(pid))
        assert "mongodb:" not in arguments
        assert server.address not in arguments


def test_stop_is_harmless_twice(omniboard, home):
    pid = omniboard_pid(home)
    assert stop_omniboard(home)
    assert not processes.is_alive(pid)
    assert not stop_omniboard(home)
    assert not stop_omniboard(home / "nothing here")


def test_what_a_run_is_about_stands_in_one_column_for_all_stages(
    node, browser, own_home, server, database, add_run
):
    about = {"dataset": {"name": "halves"}, "network": {"kind": "my.keras"}, "conditions": "l2"}
    add_run(1, config={"dataset": {"name": "halves"}}, info={"about": about})
    add_run(2, "cluster", config={"dataset": {"name": None}}, info={"about": about})
    preset_columns(database, COLUMNS)
    page = browser(start_omniboard(server, own_home, layout=first_visit(COLUMNS)))
    for text in ("halves", "my.keras", "l2"):
        assert page.count(f">{text}<") == 2


def test_numbers_are_short_enough_to_be_read(node, browser, own_home, server, database, add_run):
    result = {"importance": {"joint_p": 1.2345678e-7, "effect": 123456.789}, "ncut": 12.6204999}
    add_run(1, "lesion", result=result, config={"seed": 4294967295})
    preset_columns(database, COLUMNS)
    layout = first_visit(COLUMNS)
    layout["shown"].append("seed")
    page = browser(start_omniboard(server, own_home, layout=layout))
    for shown, exact in (("1.235e-7", "1.2345678e-7"), ("123457", "123456.789"), ("12.62", None)):
        assert f">{shown}<" in page
        assert exact is None or f'title="{exact}"' in page
    assert ">4294967295<" in page  # it is whole


IS_SHOWN = "getComputedStyle(document.querySelector('{}')).display !== 'none' ? 'shown' : 'hidden'"


def test_page_has_nothing_that_it_may_not_do_and_says_why(
    visit, own_home, server, database, add_run
):
    add_run(1, omniboard={"tags": ["kept", "new"], "notes": "noted"})
    address = start_omniboard(server, own_home, layout=first_visit(COLUMNS))
    labels = "[...document.querySelectorAll('.select-cell .label')].map(e => e.innerText)"
    found = visit(
        address,
        "document.querySelector('.select-cell') && true",
        labels,
        "document.querySelector('.editable-cell').innerText",
        "document.querySelectorAll('.select-cell input, .editable-cell a, textarea').length",
        "document.querySelector('#read-only').innerText",
        IS_SHOWN.format("#compare_runs"),
        IS_SHOWN.format("#delete_runs"),
        IS_SHOWN.format("#add_remove_metric_columns"),
        "document.querySelector('#settings').click() || true",
        IS_SHOWN.format('[test-attr="reset-cache-button"]'),
        IS_SHOWN.format('[test-attr="settings-button"]'),
        IS_SHOWN.format('[test-attr="manage-config-columns-button"]'),
    )
    assert found[1:4] == [["kept", "new"], "noted", 0]
    assert "nn_clustering.tracking tag | note | delete" in found[4]
    assert "configs/omniboard_columns.yaml" in found[4]
    assert found[5:8] == ["shown", "hidden", "hidden"]
    assert found[9:] == ["shown", "hidden", "hidden"]


# Opens the details of the run in the first row.
CLICK = "(found => found && (found.click(), true))(document.querySelector('{}'))"
EXPAND = CLICK.format('[test-attr="cell-row_expander-0"]')
OPEN_TAB = """(tab => tab && (tab.click(), true))(
    [...document.querySelectorAll('#sidebar a')].find(e => e.innerText.trim() === '{}'))"""
PLOTTED = """(names => names.length > 0 && names)(
    [...document.querySelectorAll('.legendtext')].map(e => e.textContent))"""


def add_metrics(database, run_id, *names):
    database["metrics"].insert_many(
        {"run_id": run_id, "name": name, "values": [1.0], "steps": [1], "timestamps": [NOON]}
        for name in names
    )


@pytest.mark.parametrize(
    ("logged", "plotted"),
    [
        (["a.test.accuracy", "a.test.loss", "b.accuracy"], ["a.test.accuracy", "b.accuracy"]),
        (["test.loss", "train.loss", "penalty"], ["test.loss", "train.loss"]),
        (["ncut", "scores"], ["ncut", "scores"]),
    ],
)
def test_plot_begins_with_what_can_be_compared(
    visit, own_home, server, database, add_run, logged, plotted
):
    add_run(1)
    add_metrics(database, 1, *logged)
    address = start_omniboard(server, own_home, layout=first_visit(COLUMNS))
    _, names, axis, points = visit(
        address, EXPAND, PLOTTED,
        "document.querySelector('#plot-x-axis-types input:checked').value",
        "document.querySelectorAll('.scatterlayer .point').length",
    )  # fmt: skip
    assert names == plotted
    assert axis == "steps"
    assert points >= len(plotted)  # a single one is seen


def test_metrics_that_were_chosen_once_do_not_empty_other_plots(
    visit, own_home, server, database, add_run
):
    add_run(1)
    add_metrics(database, 1, "ncut", "scores")
    address = start_omniboard(server, own_home, layout=first_visit(COLUMNS))
    chosen = {"metricNameOptions": [{"value": "test.loss", "selected": True}]}
    choose = f"localStorage.setItem('undefined|MetricsPlotView|default', '{json.dumps(chosen)}')"
    assert visit(address, f"{choose} || true", EXPAND, PLOTTED)[-1] == ["ncut", "scores"]


def test_figures_come_first_among_the_artifacts(omniboard, visit, database, add_run):
    add_run(1)
    names = ("config.a.default.yaml", "graph.npz", "table.csv", "odd", "clusters.png", "n.svg")
    for name in names:
        add_artifact(database, 1, name, b"content")
    listed = "[...document.querySelectorAll('h5')].map(e => e.innerText)"
    listed = f"(all => all.length == 6 && all)({listed})"
    found = visit(omniboard, EXPAND, OPEN_TAB.format("Artifacts"), listed)[-1]
    assert found == [
        "clusters.png", "n.svg", "table.csv", "odd", "config.a.default.yaml", "graph.npz",
    ]  # fmt: skip


HOSTILE = "<img src=x onerror=\"document.title = 'chan' + 'ged'\">"
CHOOSE = CLICK.format("#plot-metric-names button")


def test_names_from_the_database_are_no_html(omniboard, visit, database, add_run):
    add_run(1, experiment=HOSTILE, omniboard={"tags": [HOSTILE], "notes": HOSTILE})
    add_metrics(database, 1, HOSTILE)
    said = "document.querySelector('#plot-metric-names li:last-child').innerText.trim()"
    title = "document.querySelectorAll('img[src=x]').length + document.title"
    assert visit(omniboard, EXPAND, CHOOSE, said, title)[2:] == [HOSTILE, "0Omniboard"]


def test_page_may_run_nothing_but_its_own_scripts(omniboard, visit):
    add = (
        "document.body && (document.body.insertAdjacentHTML('beforeend', "
        f"{json.dumps(HOSTILE)}), true)"
    )
    refused = (
        "performance.getEntriesByName(new URL('x', location).href).length > 0 && document.title"
    )
    assert visit(omniboard, "document.querySelector('.navbar') && true", add, refused)[-1] == (
        "Omniboard"
    )
    _, headers, _ = ask(omniboard, "sacred")
    assert "script-src 'self'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]


def test_such_a_name_would_run_in_omniboards_own_page(
    unguarded_package, visit, server, database, add_run, tmp_path
):
    add_run(1)
    add_metrics(database, 1, HOSTILE)
    package = tmp_path / "package"
    shutil.copytree(unguarded_package, package, symlinks=True)
    (package / "page.js").write_text("")
    port = processes.pick_port(None)
    with supervised(package, server, port, tmp_path / "log") as address:
        wait_for(lambda: answers(address))
        changed = "document.title === 'changed' && document.title"
        assert visit(address, EXPAND, CHOOSE, changed)[-1] == "changed"


def test_every_change_to_the_script_finds_its_place(omniboard, home):
    log = (home / ".mongo" / "omniboard.log").read_text()
    assert "is listening" in log
    assert "another one than expected" not in log


def test_page_and_script_are_sent_once(omniboard):
    _, _, page = ask(omniboard, "sacred")
    script = page.decode().rpartition('src="/')[2].partition('"')[0]
    for path in ("sacred", script):
        status, headers, body = ask(omniboard, path)
        assert (status, headers["Cache-Control"]) == (200, "no-cache")
        assert body
        known = {"If-None-Match": headers["ETag"]}
        status, _, body = ask(omniboard, path, headers=known)
        assert (status, body) == (304, b"")


# Of a machine that is busy with other things.
SLOW_MS = 8000
SLOW = f"Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, {SLOW_MS});\n"


def test_child_that_starts_slowly_is_let_be(unguarded_package, server, database, tmp_path):
    package = tmp_path / "package"
    shutil.copytree(unguarded_package, package, symlinks=True)
    first = package / "supervised.js"
    first.write_text(SLOW + first.read_text())
    port, log = processes.pick_port(None), tmp_path / "log"
    with supervised(package, server, port, log, OMNIBOARD_PATIENCE_SECONDS="1") as address:
        wait_for(lambda: answers(address))
        assert log.read_text().count("is listening") == 1
        assert "trying again" not in log.read_text()


def test_start_that_is_slow_is_waited_for(node, own_home, server, database, monkeypatch, tmp_path):
    real = shutil.which("node")
    slow = tmp_path / "bin" / "node"
    slow.parent.mkdir()
    slow.write_text(f'#!/bin/sh\nsleep 4\nexec {real} "$@"\n')
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{slow.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(page, "START_SECONDS", 1.0)
    messages = []
    address = start_omniboard(server, own_home, say=messages.append)
    assert messages == []
    assert answers(address)


def test_start_in_vain_is_not_waited_for(node, own_home, server, database, monkeypatch):
    monkeypatch.setattr(page, "START_SECONDS", 1.0)
    nobody = replace(server, url="mongodb://127.0.0.1:9/", reader_url="")
    messages = []
    assert start_omniboard(nobody, own_home, say=messages.append) is None
    assert "does not answer" in messages[-1]
    assert omniboard_address(own_home) is None


@contextlib.contextmanager
def another_user(number=65534):
    os.seteuid(number)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.skipif(
    os.getuid() != 0, reason="only root can be another user, and root may write all"
)
def test_what_pins_omniboard_is_copied_over_read_only_files():
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    source, target = folder / "source", folder / "target"
    try:
        for path, text in ((source, "newer"), (target, "older")):
            path.mkdir()
            (path / "guard.js").write_text(text)
            (path / "guard.js").chmod(0o444)
            path.chmod(0o555)
        for path in (target, target / "guard.js"):
            os.chown(path, 65534, 65534)
        folder.chmod(0o755)
        with another_user():
            with pytest.raises(PermissionError):
                (target / "guard.js").write_text("")
            page.copy_files(source, target)
        assert (target / "guard.js").read_text() == "newer"
    finally:
        shutil.rmtree(folder)


@contextlib.contextmanager
def supervised(package, server, port, log, **more):
    """Run the supervisor of a folder, as a container does; gives its address."""
    environ = {"PATH": os.environ["PATH"], "PORT": str(port), **more}
    environ["MONGO_URI"] = url_with_database(server, reader=True)
    script = str(package / "supervise.js")
    pid = processes.start_detached(["node", script], log, environ)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        assert processes.terminate(pid, 20)


@pytest.fixture(scope="module")
def unguarded_package(shared_omniboard, tmp_path_factory):
    """Folder that starts Omniboard without the guard."""
    shared_omniboard()  # has installed it
    package = tmp_path_factory.mktemp("package")
    for script in PACKAGE.glob("*.js"):
        shutil.copy(script, package)
    (package / "guard.js").write_text("")
    (package / "node_modules").symlink_to(PACKAGE / "node_modules")
    return package


@pytest.fixture(scope="module")
def unguarded(unguarded_package, server, tmp_path_factory):
    """Address of an Omniboard on the tests' database without the guard."""
    port = processes.pick_port(None)
    log = tmp_path_factory.mktemp("unguarded") / "log"
    with supervised(unguarded_package, server, port, log) as address:
        wait_for(lambda: answers(address))
        yield address


METHODS = ("DELETE", "PUT", "POST", "PATCH")


@pytest.mark.parametrize("method", METHODS)
def test_nothing_that_writes_is_let_through(omniboard, database, add_run, method):
    add_run(1, config={"seed": 1})
    before = database["runs"].find_one()
    for path in (f"{API}/Runs/1", f"{API}/Metrics/", f"{API}/Omniboard.Settings", "sacred"):
        status, _, body = ask(omniboard, path, method, {"X-HTTP-Method-Override": "GET"})
        assert status == 403
        assert "read-only" in json.loads(body)["message"]
    assert database["runs"].find_one() == before


def test_methods_are_not_overridden(omniboard, database, add_run):
    add_run(1)
    ask(omniboard, f"{API}/Runs/1?_method=DELETE", headers={"X-HTTP-Method-Override": "DELETE"})
    assert database["runs"].count_documents({}) == 1


def test_user_of_omniboard_may_not_write_either(unguarded, database, add_run):
    add_run(1, config={"seed": 1})
    before = database["runs"].find_one()
    for method, path in (
        ("DELETE", f"{API}/Runs/1"),
        ("PUT", f"{API}/Runs/1"),
        ("POST", f"{API}/Omniboard.Settings"),
    ):
        assert ask(unguarded, path, method)[0] >= 400
    assert database["runs"].find_one() == before
    assert "omniboard.settings" not in database.list_collection_names()


def test_a_user_who_may_write_could_without_the_guard(
    unguarded_package, server, database, add_run, tmp_path
):
    add_run(1)
    writer = replace(server, reader_url="")
    port = processes.pick_port(None)
    with supervised(unguarded_package, writer, port, tmp_path / "log") as address:
        wait_for(lambda: answers(address))
        assert ask(address, f"{API}/Runs/1", "DELETE")[0] == 204
    assert database["runs"].count_documents({}) == 0


def test_other_origins_may_not_read(omniboard, unguarded):
    headers = {"Origin": "http://evil.example"}
    assert ask(unguarded, f"{API}/Runs", headers=headers)[1]["Access-Control-Allow-Origin"] == "*"
    for method in ("GET", "OPTIONS"):
        _, reply, _ = ask(omniboard, f"{API}/Runs", method, headers)
        assert not [name for name in reply if name.lower().startswith("access-control-")]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:9000", 200),
        ("127.0.0.1", 200),
        ("[::1]:9000", 200),
        ("LocalHost:1", 200),
        ("evil.example", 403),
        ("evil.example:9000", 403),
        ("localhost.evil.example", 403),
        ("127.0.0.1.evil.example:9000", 403),
        ("", 403),
    ],
)
def test_it_answers_under_names_of_this_machine_alone(omniboard, host, status):
    assert ask(omniboard, f"{API}/Runs/count", headers={"Host": host})[0] == status


def test_in_a_container_it_listens_outside_and_stays_guarded(omniboard, server, tmp_path):
    port = processes.pick_port(None)
    log = tmp_path / "log"
    with supervised(PACKAGE, server, port, log, OMNIBOARD_LISTEN="0.0.0.0") as address:
        wait_for(lambda: answers(address))
        assert listening_addresses(port) == {"00000000"}
        assert ask(address, f"{API}/Runs/1", "DELETE")[0] == 403
        assert ask(address, f"{API}/Runs", headers={"Host": "evil.example"})[0] == 403


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user")
def test_other_users_of_the_machine_are_refused(omniboard):
    port = omniboard.rpartition(":")[2]
    url = f"http://127.0.0.1:{port}/{API}/Runs/count"
    script = f"fetch('{url}').then((reply) => console.log(reply.status))"
    for user, status in ((0, "200"), (65534, "403")):
        asked = subprocess.run(
            ["node", "-e", script], user=user, cwd="/", capture_output=True, text=True, check=True
        )
        assert asked.stdout.strip() == status


# Asks from one port at many addresses of this machine; prints the statuses.
ASK_FROM_ADDRESSES = """
const [to, localPort] = process.argv.slice(1).map(Number);
for (let last = 2; last < 42; last += 1) {
  const local = { localAddress: `127.0.0.${last}`, localPort };
  const client = require('net').connect({ host: '127.0.0.1', port: to, ...local });
  client.write('GET /sacred/api/v1/Runs/count HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n');
  client.once('data', (reply) => console.log(String(reply).split(' ')[1]) || client.destroy());
}
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user")
def test_port_of_the_owner_at_another_address_is_refused(omniboard):
    to = omniboard.rpartition(":")[2]
    owners = http.client.HTTPConnection("127.0.0.1", int(to), timeout=20)
    with contextlib.closing(owners):
        owners.request("GET", f"/{API}/Runs/count")
        reply = owners.getresponse()
        assert (reply.status, json.loads(reply.read())) == (200, {"count": 0})
        port = owners.sock.getsockname()[1]  # kept alive, so the owner's connection stays
        asked = subprocess.run(
            ["node", "-e", ASK_FROM_ADDRESSES, to, str(port)],
            user=65534,
            cwd="/",
            capture_output=True,
            text=True,
            check=True,
        )
    assert asked.stdout.split() == ["403"] * 40


def answer_to(address, request, connect_to=None):
    """First line of the answer to these bytes, empty where the connection is just closed."""
    host, _, port = address.partition("://")[2].partition(":")
    with socket.create_connection((connect_to or host, int(port)), timeout=20) as client:
        client.sendall(request)
        with contextlib.suppress(ConnectionResetError), client.makefile("rb") as reply:
            return reply.readline().decode().strip()
    return ""


def test_owner_is_let_in_by_any_spelling_of_the_address(omniboard):
    if not Path("/proc/net/tcp6").exists():
        pytest.skip("this system has no IPv6")
    request = f"GET /{API}/Runs/count HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    for spelling in ("127.0.0.1", "::ffff:127.0.0.1"):
        assert answer_to(omniboard, request, spelling) == "HTTP/1.1 200 OK"


def test_clients_that_reset_their_connection_do_not_end_it(omniboard, home):
    child = supervised_pid(omniboard_pid(home))
    port = int(omniboard.rpartition(":")[2])
    request = f"GET /{API}/Runs/count HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    for _ in range(300):
        with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.sendall(request)
    assert answers(omniboard)
    assert supervised_pid(omniboard_pid(home)) == child


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        ("GET http://evil.example/sacred/api/v1/Runs HTTP/1.1", 400),
        ("GET http://[::/%zz HTTP/1.1", 400),
        ("OPTIONS * HTTP/1.1", 400),
        ("GET /%zz HTTP/1.1", 400),
        ("GET /sacred/api/v1/Runs/% HTTP/1.1", 400),
        ("GET /sacred/%c0%af HTTP/1.1", 400),
        ("GET /sacred/api/v1/files/download/xyz/a.txt HTTP/1.1", 404),
        ("GET /sacred/api/v1/files/preview/xyz HTTP/1.1", 404),
        ("GET /sacred/api/v1/files/preview/%zz/%zz HTTP/1.1", 404),
        ("GET /sacred/api/v1/FILES/Preview/xyz/a.txt HTTP/1.1", 404),
        (f"GET /{'a' * 20000} HTTP/1.1", 431),
        ("TRACE / HTTP/1.1", 403),
        ("NONSENSE / HTTP/1.1", 400),
        ("nonsense", 400),
    ],
)
def test_malformed_requests_are_refused_and_do_not_end_it(omniboard, home, request_line, status):
    child = supervised_pid(omniboard_pid(home))
    request = f"{request_line}\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    assert answer_to(omniboard, request.encode()).split()[1] == str(status)
    assert answers(omniboard)
    assert supervised_pid(omniboard_pid(home)) == child


def test_pages_of_others_get_no_answer(omniboard):
    get = "GET /sacred/api/v1/Runs/count HTTP/1.1\r\nHost: localhost\r\nConnection: close"
    for site, status in (("cross-site", "403"), ("same-origin", "200"), ("none", "200")):
        request = f"{get}\r\nSec-Fetch-Site: {site}\r\n\r\n"
        assert answer_to(omniboard, request.encode()).split()[1] == status


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("GET / HTTP/1.0", "403"),
        ("GET / HTTP/1.1", "400"),
        ("GET / HTTP/1.1\r\nHost: [::%zz", "403"),
        ("GET / HTTP/1.1\r\nHost: \x01", "400"),
        ("GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: x", "400"),
        (
            "GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: Upgrade\r\nUpgrade: websocket",
            "403",
        ),
        ("POST / HTTP/1.1\r\nHost: localhost\r\nExpect: nonsense", "417"),
    ],
)
def test_malformed_headers_are_refused_and_do_not_end_it(omniboard, home, head, status):
    child = supervised_pid(omniboard_pid(home))
    assert answer_to(omniboard, f"{head}\r\n\r\n".encode()).split()[1] == status
    assert answers(omniboard)
    assert supervised_pid(omniboard_pid(home)) == child


PAGE = b"""<html><title>plain</title><body>artifact<script>
document.title = 'chan' + 'ged';
document.body.append('r' + 'an');
fetch('/sacred/api/v1/Runs/1', {method: 'DELETE'});
</script></body></html>"""


def add_artifact(database, run_id, name, content):
    file_id = gridfs.GridFS(database).put(content, filename=name)
    entry = {"name": name, "file_id": file_id}
    database["runs"].update_one({"_id": run_id}, {"$push": {"artifacts": entry}})
    return file_id


@pytest.mark.parametrize("kind", ["preview", "PREVIEW"])
@pytest.mark.parametrize("name", ["page.html", "page.xhtml", "x/page.html", "page.htm"])
def test_scripts_of_an_artifact_do_not_run(omniboard, browser, database, add_run, kind, name):
    add_run(1)
    file_id = add_artifact(database, 1, "page.html", PAGE)
    path = f"{API}/files/{kind}/{file_id}/{name}"
    shown = browser(f"{omniboard}/{path}")
    assert "artifact" in shown
    assert "changed" not in shown
    assert "ran<" not in shown
    assert database["runs"].count_documents({}) == 1
    _, headers, _ = ask(omniboard, path)
    assert headers["Content-Security-Policy"] == "sandbox"
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_scripts_of_an_artifact_would_run_without_the_guard(unguarded, browser, database, add_run):
    add_run(1)
    file_id = add_artifact(database, 1, "page.html", PAGE)
    assert "changed" in browser(f"{unguarded}/{API}/files/preview/{file_id}/page.html")


@pytest.mark.parametrize("name", ["a b.txt", "folder/a.txt", "%.txt", "\u4e2d.txt", "a;b=c.txt"])
def test_artifacts_of_any_name_can_be_downloaded(omniboard, database, add_run, name):
    add_run(1)
    file_id = add_artifact(database, 1, name, b"content")
    # As the page asks for it: the browser encodes what is no character of an address.
    path = urllib.parse.quote(f"{API}/files/download/{file_id}/{name}", safe="/%;=")
    status, headers, body = ask(omniboard, path)
    assert (status, body) == (200, b"content")
    assert headers["Content-Type"].startswith("text/plain")


def test_first_visit_leaves_no_error_on_the_page(
    node, browser, own_home, server, database, add_run
):
    add_run(1, config={"tags": ["old"]}, meta={"comment": "said at the start"})
    add_run(2, omniboard={"tags": ["new"], "notes": "noted later"}, status="DIED")
    for preset in (False, True):  # without its settings the page tries to store some
        if preset:
            preset_columns(database, COLUMNS)
        address = start_omniboard(server, own_home, layout=first_visit(COLUMNS))
        page = browser(f"{address}/sacred")
        for text in ("old", "said at the start", "new", "noted later", "DIED", "COMPLETED"):
            assert f">{text}<" in page
        assert "circle pull-left died" in page
        for error in ("Toastify__toast--error", "alert-danger", "Error:"):
            assert error not in page
    names = {setting["name"] for setting in database["omniboard.settings"].find()}
    assert names == {"timezone", "auto_refresh_interval", "initial_fetch_size", "row_height"}


def test_without_node_it_says_so_and_goes_on(monkeypatch, tmp_path, server):
    monkeypatch.setenv("PATH", str(tmp_path))
    messages = []
    assert start_omniboard(server, tmp_path, say=messages.append) is None
    (message,) = messages
    assert "Node.js" in message
    assert "\n" not in message


def test_lock_file_pins_without_hosts():
    text = (PROJECT / "devops" / "omniboard" / "package-lock.json").read_text()
    lock = json.loads(text)
    packages = [package for name, package in lock["packages"].items() if name]
    assert lock["packages"]["node_modules/omniboard"]["version"] == "2.16.1"
    assert all("integrity" in package or package.get("inBundle") for package in packages)
    assert "://" not in text


# The first version of each without the faults that docs/runs/server.md names.
MENDED = {
    "express": (4, 20, 0), "body-parser": (1, 20, 3), "path-to-regexp": (0, 1, 12),
    "send": (0, 19, 0), "serve-static": (1, 16, 0), "cookie": (0, 7, 0), "qs": (6, 14, 1),
    "on-headers": (1, 1, 0), "brace-expansion": (1, 1, 12), "bson": (1, 1, 4),
    "mongoose": (5, 13, 20), "mpath": (0, 8, 4), "mquery": (3, 2, 3), "async": (2, 6, 4),
    "y18n": (4, 0, 1), "yargs-parser": (13, 1, 2), "ansi-regex": (4, 1, 1), "minimatch": (3, 1, 3),
}  # fmt: skip


def test_packages_with_known_faults_are_not_pinned():
    lock = json.loads((PROJECT / "devops" / "omniboard" / "package-lock.json").read_text())
    pinned = {}
    for path, package in lock["packages"].items():
        pinned.setdefault(path.rpartition("node_modules/")[2], []).append(package["version"])
    for name, first in MENDED.items():
        for version in pinned[name]:
            assert tuple(map(int, version.split("."))) >= first, (name, version)
    # What only builds the page is not installed: a package that does nothing is in its place.
    overrides = json.loads((PROJECT / "devops" / "omniboard" / "package.json").read_text())
    replaced = {
        name for name, version in overrides["overrides"].items() if version.startswith("npm:")
    }
    assert {name for name in pinned if name.startswith("@babel")} <= replaced
    assert len(pinned) < 250


def test_address_of_a_run_opens_its_details(omniboard, visit, database, run_sample):
    for action in ("fail", "succeed"):
        run_sample(action)
    title = "document.querySelector('.modal-title').innerText"
    tabs = "document.querySelector('.modal-body #sidebar').innerText"
    shown = visit(run_address(omniboard, 1, "FAILED"), title, tabs)
    assert shown[0] == "Details for Run Id: 1"
    assert "Artifacts" in shown[1]
