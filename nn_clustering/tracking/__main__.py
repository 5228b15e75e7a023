"""Run as `python -m nn_clustering.tracking COMMAND`: the runs, their server and its web page."""

from nn_clustering.tracking.command_line.main import run

if __name__ == "__main__":
    run()
