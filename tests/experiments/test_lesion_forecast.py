"""What is told of how long a test will take."""

import io

import pytest
from tqdm import tqdm

from experiments import _forecast
from experiments._forecast import Forecast, ForecastBar


@pytest.fixture
def clock(monkeypatch):
    """A clock that goes on when the test says so."""

    class Clock:
        now = 0.0

        def perf_counter(self):
            return self.now

    found = Clock()
    monkeypatch.setattr(_forecast, "time", found)
    return found


def test_forecast_leaves_out_the_first_call(clock):
    """1,000 answers a second after a slow start; 100 lesions of 1,000 images are left but 4."""
    forecast = Forecast(100_000, "100 lesions", 99)
    clock.now = 50.0
    assert forecast.update(1000) is None
    told = []
    for second in range(1, 4):
        clock.now = 50.0 + second
        told.append(forecast.update(1000))
    assert told[0] == ("some 98 s more for 100 lesions; n_shuffles=19 would take 20% of the time")
    assert told[1:] == [None, None]


def test_short_tests_have_no_forecast(clock):
    forecast = Forecast(10_000, "10 lesions", 99)
    for second in range(5):
        clock.now = float(second)
        assert forecast.update(1000) is None


def test_what_is_known_takes_no_time(clock):
    forecast = Forecast(1_000_000, "1,000 lesions", 19)
    forecast.skip(798_000)
    forecast.update(1000)
    clock.now = 2.0
    assert forecast.update(2000) == "some 3 minutes more for 1,000 lesions"


def test_a_bar_shows_what_is_known_and_what_is_done(clock, capsys):
    """The time that is left is that of neither."""
    with tqdm(total=1_000_000, file=io.StringIO()) as shown:
        bar = ForecastBar(shown, Forecast(1_000_000, "1,000 inputs", 19))
        bar.skip(798_000)
        assert shown.n == 798_000
        bar.update(1000)
        clock.now = 2.0
        assert capsys.readouterr().out == ""
        bar.update(2000)
        assert shown.n == 801_000
        bar.update(2000)
    assert capsys.readouterr().out == "some 3 minutes more for 1,000 inputs\n"
