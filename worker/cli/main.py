"""``overread``: the entry point."""

from __future__ import annotations

import sys

import typer

from worker import __version__
from worker.cli import console
from worker.cli.processes import end_with_parent


def build() -> typer.Typer:
    """The application with all its commands."""
    from worker.cli import (
        demo,
        doctor,
        explain,
        jobs,
        models,
        run,
        send,
        serve,
        up,
    )

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
        version: bool = typer.Option(False, "--version", help="Print the version and exit.", is_eager=True),
    ) -> None:
        if version:
            console.out.print(f"overread {__version__}")
            raise typer.Exit

    app.command("up")(up.up)
    app.command("listen")(serve.listen)
    app.command("work")(serve.work)
    app.command("sweep")(serve.sweep)
    app.command("flower")(serve.flower)
    app.command("demo")(demo.demo)
    app.command("send")(send.send)
    app.command("run")(run.run)
    app.command("explain")(explain.explain)
    app.command("jobs")(jobs.jobs)
    app.command("show")(jobs.show)
    app.command("retry")(jobs.retry)
    app.command("cancel")(jobs.cancel)
    app.command("doctor")(doctor.doctor)
    app.add_typer(models.app, name="models")
    return app


def main() -> None:
    """Run the command line; expected failures end with their message, next step and exit code."""
    end_with_parent()
    with console.reporting():
        build()(standalone_mode=True)
    sys.exit(0)


if __name__ == "__main__":
    main()
