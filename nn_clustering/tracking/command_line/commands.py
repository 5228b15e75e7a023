"""All commands of the program.

A new one is a function, its arguments, and an entry in the `COMMANDS` of its group's module.
"""

from __future__ import annotations

from nn_clustering.tracking.command_line import (
    backup_commands,
    changing_commands,
    drop_command,
    import_command,
    reading_commands,
    rerun_command,
    server_commands,
)
from nn_clustering.tracking.command_line.command import Command, RunCommand

COMMANDS: tuple[Command | RunCommand, ...] = (
    *reading_commands.COMMANDS,
    *changing_commands.COMMANDS,
    *drop_command.COMMANDS,
    *import_command.COMMANDS,
    *rerun_command.COMMANDS,
    *backup_commands.COMMANDS,
    *server_commands.COMMANDS,
)
