"""Start of the command ``signalrp``, also as ``python -m signalrp``."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line, or say what is missing for it."""
    try:
        import typer  # noqa: F401 - the commands cannot even be declared without it
    except ImportError:
        sys.exit('The command signalrp needs typer: install it with pip install "signalrp[cli]".')
    from signalrp.cli import app

    app(prog_name="signalrp")


if __name__ == "__main__":
    main()
