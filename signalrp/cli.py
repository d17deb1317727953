"""The command ``signalrp``: studies of a field from end to end, and the public data sets."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from typer.core import TyperGroup

from signalrp import manifests
from signalrp.cli_studies import group, study
from signalrp.propagation.errors import UnsupportedOperation

# What a user can put right; anything else is a defect of signalrp and keeps its traceback.
_EXPECTED = (ValueError, LookupError, OSError, ImportError, manifests.DataError, UnsupportedOperation)


class Commands(TyperGroup):
    """Commands whose expected errors are one line on standard error and exit code 1."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise
        except _EXPECTED as error:
            if ctx.params["traceback"]:
                raise
            # A KeyError shows its message in quotes, hence the argument itself.
            message = error.args[0] if isinstance(error, KeyError) and error.args else error
            typer.echo(f"signalrp: {' '.join(str(message).split()) or type(error).__name__}", err=True)
            raise typer.Exit(1) from error


app = group(
    """Explain what a trained model looked at in a signal, when, and how sure one may be of it.

    The method is Layer-wise Relevance Propagation (Bach et al. 2015). A study takes data of a field from raw
    signals to a report; the data commands fetch and verify public data sets. For your own model and data, use
    Python: signalrp.explain(model, signal).

    \b
    Examples:
      signalrp study gait                  who is walking? the whole study, into runs/gait
      signalrp study eeg                   face or house, left or right: why was a trial misclassified?
      signalrp study audio                 which digit, who says it: what does a classifier hear?
      signalrp study video                 where does it move to: which frames count, and where?
      signalrp data list                   the data sets that signalrp knows
      signalrp data info speedgrf          what a set is, its licence, how to cite it
      signalrp study gait --help           the manual page of a command

    \b
    Exit codes:
      0  done
      1  it could not be done; one line on standard error says why
      2  the command line was not understood
    """,
    cls=Commands,
)
data = group(
    """Public data sets: what they are, where they come from, and a verified copy on this computer.

    Sets are kept in the folder that the environment variable SIGNALRP_DATA names, else in the cache folder of
    the platform (on Linux ~/.cache/signalrp).

    \b
    Examples:
      signalrp data list
      signalrp data info gaitrec
      signalrp data fetch speedgrf --root data
    """
)
app.add_typer(study, name="study", short_help="Run the main job of a field, from raw signals to a report.")
app.add_typer(data, name="data", short_help="List, describe and fetch public data sets.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the set, as in: signalrp data list.")]
Root = Annotated[
    Path | None,
    typer.Option(
        "--root", metavar="FOLDER", help="Folder of the data sets, instead of the usual one.", show_default=False
    ),
]


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"signalrp {version('signalrp')}")
        raise typer.Exit


@app.callback()
def _options(
    show: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop.")
    ] = False,
    traceback: Annotated[
        bool, typer.Option("--traceback", help="Show where in the program an error arose; for bug reports.")
    ] = False,
) -> None:
    pass


@data.command("list")
def data_list(root: Root = None) -> None:
    """List the data sets that signalrp knows: name, download size, whether it is on this computer, title.

    Sets marked "by hand" are behind a licence or an agreement; signalrp data info NAME tells how to get them.
    """
    folder = manifests.data_root() if root is None else root
    table = Table(box=None, pad_edge=False)
    for heading in ("name", "download", "here", "title"):
        table.add_column(heading, no_wrap=heading != "title", overflow="fold")
    for name in manifests.available():
        manifest = manifests.load(name)
        size = "by hand" if manifest.kind == "manual" else _size(manifest)
        table.add_row(name, size, "yes" if (folder / name).is_dir() else "no", manifest.title)
    Console(highlight=False).print(table)


@data.command("info")
def data_info(name: Name, root: Root = None) -> None:
    """Show what a data set is: title, citation, licence, how to get and read it, and the state of every file.

    \b
    The state of a file on this computer:
      verified         its checksum is the published one
      present          it is there, no checksum is known to compare it with
      missing          it is not there
      wrong size, wrong checksum
                       it is damaged or has changed; fetch replaces it
    """  # noqa: D301 - the command line reads this backspace as: keep the lines
    manifest = manifests.load(name)
    states = manifests.verify(name, root)
    by_hand = manifest.kind == "manual"
    rows = {
        "name": manifest.name,
        "title": manifest.title,
        "cite": manifest.citation,
        "doi": f"https://doi.org/{manifest.doi}" if manifest.doi else "",
        "licence": manifest.licence,
        "download": _size(manifest),
        "get it": f"by hand, from {manifest.page}" if by_hand else f"signalrp data fetch {name}",
        "page": manifest.page,
        "read it": manifest.load,
        "checksums": "verified by the developers" if manifest.verified else "not verified by the developers",
        "notes": " ".join(manifest.notes.split()),
        "folder": str((manifests.data_root() if root is None else root) / name),
    }
    console = Console(highlight=False, markup=False)
    grid = Table.grid(padding=(0, 2))
    for key, value in rows.items():
        if value:
            grid.add_row(key, value)
    console.print(grid)
    for file, state in states.items():
        console.print(f"  {file}: {state}", soft_wrap=True)


@data.command("fetch")
def data_fetch(name: Name, root: Root = None) -> None:
    """Fetch a data set, verify it, and print the folder it is in.

    Progress goes to standard error, the folder to standard output. Files that are there already and agree with
    their checksums are not fetched again; an interrupted download leaves nothing behind.

    \b
    Examples:
      signalrp data fetch speedgrf
      signalrp data fetch gaitrec --root /data/gait
    """  # noqa: D301 - the command line reads this backspace as: keep the lines
    typer.echo(str(manifests.fetch(name, root)))


def _size(manifest: manifests.Manifest) -> str:
    sizes = [file.size for file in manifest.files]
    total = manifest.size or (sum(filter(None, sizes)) if sizes and None not in sizes else 0)
    return f"{total / 1e6:.1f} MB" if total else "unknown"
