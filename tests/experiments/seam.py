"""How to see which keys of a config reach the library: runs to read, and calls as they come."""

import contextlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sacred.utils import convert_to_nested_dict, iterate_flattened, set_by_dotted_path

from tests.tracking.stored_files import store_file


class ReachedError(Exception):
    """The call that a test waits for has come; what follows it would only take time."""


class Calls:
    """The real functions, with the arguments noted that they are called with.

    Attributes:
        of: The arguments of every call by the function's name, a list of dictionaries.
    """

    def __init__(self, monkeypatch):
        self._patch = monkeypatch
        self.of = {}

    def watch(self, owner, name, *, last=False):
        """Note the calls of a function, a class or a method.

        Args:
            owner: Of which it is an attribute when it is called.
            name: Of the attribute.
            last: Whether to stop at its first call, with `ReachedError`.
        """
        real = getattr(owner, name)
        signature = inspect.signature(real)
        self.of[name] = []

        def noted(*args, **kwargs):
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            self.of[name].append(_by_name(signature, bound.arguments))
            if last:
                raise ReachedError(name)
            return real(*args, **kwargs)

        self._patch.setattr(owner, name, noted)


def _by_name(signature, arguments):
    """The arguments, those that are taken by any name among the others."""
    rest = [name for name, one in signature.parameters.items() if one.kind is one.VAR_KEYWORD]
    named = {name: value for name, value in arguments.items() if name not in rest}
    return {**named, **{key: value for name in rest for key, value in arguments[name].items()}}


TO_THE_END = "the end"
UNSET = object()  # the value of a key of the base that is left out
SAME = object()  # the value of the key


@dataclass(frozen=True)
class Case:
    """A key set to another value, and where that value has to arrive.

    Attributes:
        value: What the key is set to; or a function of the stored runs that gives it.
        call: The library's function, at whose call the stage is stopped.
        argument: Of the call, a path through attributes, keys and indices; "" where it is enough
            that the function is called at all, and is not without the key.
        arrives: What is found there then, the value by default; or a function that tells of what
            was found, and of the stored runs, whether it is right.
        stop: Another function to stop at, if that comes first or the call does not come; with it
            the stage is not stopped at the call.
        given: Other keys that are set with and without the key.
        needed: Whether the stage is refused without the key, so that there is nothing to compare.
    """

    value: Any
    call: str
    argument: str = ""
    arrives: Any = SAME
    stop: str = ""
    given: dict[str, Any] = field(default_factory=dict)
    needed: bool = False


def look_up(found, path):
    """What lies at a path such as `phase.pruning.n_steps` or `keywords.n_init`; None if nothing."""
    for name in filter(None, path.split(".")):
        if isinstance(found, dict):
            found = found.get(name)
        elif isinstance(found, list | tuple | range):
            found = found[int(name)] if -len(found) <= int(name) < len(found) else None
        else:
            found = getattr(found, name, None)
    return found


@dataclass(frozen=True)
class Stage:
    """A stage whose keys are tried one by one.

    Attributes:
        experiment: The stage.
        owners: Where the watched functions are looked up, by name.
        base: Keys that every run of it needs.
        cases: By key, one case or several, in all of which it has to arrive.
    """

    experiment: Any
    owners: dict[str, Any]
    base: Callable[[Any], dict[str, Any]]
    cases: dict[str, Any]

    def keys(self):
        return {key for key, _ in iterate_flattened(dict(self.experiment.defaults))}

    def cases_of(self, key):
        cases = self.cases[key]
        return [cases] if isinstance(cases, Case) else cases

    def run(self, monkeypatch, case, runs, updates):
        """Run it up to the case's call; returns all calls of that function."""
        with monkeypatch.context() as patch:
            calls = Calls(patch)
            calls.watch(self.owners[case.call], case.call, last=not case.stop)
            if case.stop not in ("", TO_THE_END):
                calls.watch(self.owners[case.stop], case.stop, last=True)
            whole = {**self.base(runs), **updates}
            config = convert_to_nested_dict(
                {key: _settled(value, runs) for key, value in whole.items() if value is not UNSET}
            )
            with contextlib.suppress(ReachedError):
                self.experiment.run(config_updates=config)
        return calls.of[case.call]


def _settled(value, runs):
    return value(runs) if callable(value) else value


def arrives(stage, key, case, monkeypatch, runs):
    """Assert that the key's value arrives, and that it does not without the key."""
    found = stage.run(monkeypatch, case, runs, {**case.given, key: case.value})
    assert is_there(case, found, runs), f"{key} does not arrive: {case.call} got {found}"
    if case.needed:
        return
    # The same for many keys.
    same = (stage.experiment.path, case.call, case.stop, repr(case.given))
    if same not in runs.without:
        runs.without[same] = stage.run(monkeypatch, case, runs, case.given)
    assert not is_there(case, runs.without[same], runs), f"{key} arrives without being set"


def is_there(case, calls, runs):
    if not calls:
        return False
    if not case.argument:
        return True
    # the last call: of several the later ones are those with more settings
    found = look_up(calls[-1], case.argument)
    wanted = _settled(case.value, runs) if case.arrives is SAME else case.arrives
    if callable(wanted):
        return bool(wanted(found, runs))
    if isinstance(wanted, list | tuple) and isinstance(found, list | tuple):
        return list(found) == list(wanted)
    return type(found) is type(wanted) and found == wanted


class StoredRuns:
    """Runs in a database as stages would have stored them, by name.

    Attributes:
        ids: Their ids.
        files: Their artifacts, by name.
        without: Calls of stages whose keys are as by default.
    """

    def __init__(self, database):
        self.database = database
        self.ids = {}
        self.files = {}
        self.without = {}

    def add(
        self, name, experiment, config, *, files=None, metrics=None, status="COMPLETED", **more
    ):
        """Store a run; `more` are fields of its document, the lineage's under `lineage`."""
        whole = experiment.full_config([])
        for key, value in config.items():
            set_by_dotted_path(whole, key, value)
        newest = self.database["runs"].find_one(sort=[("_id", -1)])
        run_id = 1 + (newest["_id"] if newest else 0)
        info = {"lineage": more.pop("lineage", {}), **more.pop("info", {})}
        self.database["runs"].insert_one(
            {
                "_id": run_id,
                "experiment": {"name": experiment.path},
                "status": status,
                "start_time": datetime(2024, 5, 2),
                "config": whole,
                "info": info,
                "artifacts": [
                    store_file(self.database, file, content)
                    for file, content in (files or {}).items()
                ],
                **more,
            }
        )
        for metric, values in (metrics or {}).items():
            self.database["metrics"].insert_one(
                {
                    "run_id": run_id,
                    "name": metric,
                    "steps": list(range(len(values))),
                    "values": list(values),
                    "timestamps": [datetime(2024, 5, 2)] * len(values),
                }
            )
        self.ids[name], self.files[name] = run_id, files or {}
        return run_id


def run_of(name):
    """The id of a stored run, once it is there."""
    return lambda runs: runs.ids[name]
