"""``overread``: the entry point."""

from __future__ import annotations

import sys
from importlib import import_module

import typer

from worker import __version__
from worker.cli import console
from worker.cli.options import speak_as
from worker.cli.processes import end_with_parent
from worker.domain.errors import OverreadError
from worker.observe import collector, stray_output
from worker.settings import stated_log

_COMMANDS = {
    "up": "up:up",
    "listen": "serve:listen",
    "work": "serve:work",
    "sweep": "serve:sweep",
    "flower": "serve:flower",
    "demo": "demo:demo",
    "send": "send:send",
    "run": "run:run",
    "explain": "explain:explain",
    "jobs": "jobs:jobs",
    "show": "jobs:show",
    "view": "view:view",
    "retry": "jobs:retry",
    "cancel": "jobs:cancel",
    "rerun": "jobs:rerun",
    "clean": "clean:clean",
    "doctor": "doctor:doctor",
    "models": "models.commands:app",
}

_PROCESSES = {"up": "up", "listen": "listener", "sweep": "sweeper", "work": "worker", "flower": "flower"}
"""The commands that are a part of the system, and their names in the log."""


def _print_version(wanted: bool) -> None:
    if wanted:
        console.out.print(f"overread {__version__}")
        raise typer.Exit


def build(only: str = "") -> typer.Typer:
    """The application with all its commands, or with the one that was asked for.

    A command brings its libraries: the listener needs neither ONNX Runtime nor highdicom, and a listener that was
    killed is back sooner, and smaller, without them.
    """
    app = typer.Typer(
        name="overread",
        help="The AI worker behind a hospital's PACS: studies in by C-STORE, SEG and SR back.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @app.callback(invoke_without_command=False)
    def _root(
        *,
        version: bool = typer.Option(
            False, "--version", help="Print the version and exit.", is_eager=True, callback=_print_version
        ),
    ) -> None:
        del version  # said by its own callback, which needs no command

    for name, place in _COMMANDS.items():
        if only in _COMMANDS and name != only:
            continue
        module, _, attribute = place.partition(":")
        found = getattr(import_module(f"worker.cli.{module}"), attribute)
        if isinstance(found, typer.Typer):
            app.add_typer(found, name=name)
        else:
            app.command(name)(found)
    return app


def main() -> None:
    """Run the command line; expected failures end with their message, next step and exit code."""
    end_with_parent()
    command = next(iter(sys.argv[1:]), "")
    if command in _PROCESSES:
        speak_as(_PROCESSES[command], stated_log())
    with collector.ending(), console.reporting():
        with collector.starting():
            app = build(only=command)
        _run(app)
    sys.exit(0)


def _run(app: typer.Typer) -> None:
    """Run the command of the command line. What is wrong with that line is an event, where there are only those."""
    try:
        app(standalone_mode=not stray_output.takes_events_only())
    except Exception as error:
        wrong = getattr(error, "format_message", None)  # the library of typer has exceptions that it does not export
        if wrong is None:
            raise
        console.print_error(OverreadError(wrong(), next_step="`overread COMMAND --help` lists options.", code="usage"))
        sys.exit(console.EXIT_USAGE)


if __name__ == "__main__":
    main()
