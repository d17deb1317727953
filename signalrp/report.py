"""Self-contained HTML reports: text, tables and figures in one file; everything put in is escaped."""

from __future__ import annotations

import base64
import html
import io
import os
from pathlib import Path

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.7rem; } h2 { font-size: 1.25rem; margin-top: 2.2rem; border-bottom: 1px solid #ddd; }
table { border-collapse: collapse; margin: 1rem 0; font-size: .9rem; }
th, td { padding: .25rem .7rem; text-align: right; border-bottom: 1px solid #e4e4e4; }
th:first-child, td:first-child { text-align: left; }
figure { margin: 1.2rem 0; } img, video { max-width: 100%; height: auto; } figcaption { color: #555; font-size: .9rem; }
summary { cursor: pointer; } code { background: #f4f4f4; padding: 0 .2rem; }
"""


class Report:
    """A page that grows from top to bottom.

    Parameters
    ----------
    title : str
        Title and first heading.
    """

    def __init__(self, title: str) -> None:
        self.title = title
        self._parts: list[str] = [f"<h1>{html.escape(title)}</h1>"]

    def heading(self, text: str) -> None:
        """Start a section."""
        self._parts.append(f"<h2>{html.escape(text)}</h2>")

    def text(self, text: str) -> None:
        """Add a paragraph."""
        self._parts.append(f"<p>{html.escape(text)}</p>")

    def table(self, frame: pd.DataFrame, decimals: int = 3) -> None:
        """Add a table, numbers rounded; those that would be rounded to 0 are written as powers of ten."""

        def number(value: float) -> str:
            tiny = 0 < abs(value) < 0.5 * 10**-decimals
            return f"{value:.0e}" if tiny else f"{value:.{decimals}f}"

        self._parts.append(frame.to_html(index=False, border=0, escape=True, na_rep="–", float_format=number))

    def figure(self, figure: Figure, caption: str, dpi: int = 110) -> None:
        """Add a figure as a PNG within the page; the figure is closed."""
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=dpi)
        plt.close(figure)
        self.image(buffer.getvalue(), caption)

    def image(self, data: bytes, caption: str) -> None:
        """Add a PNG, or a GIF, which may move."""
        kind = "gif" if data.startswith((b"GIF87a", b"GIF89a")) else "png"
        words = html.escape(caption)
        source = f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
        self._parts.append(f'<figure><img src="{source}" alt="{words}"><figcaption>{words}</figcaption></figure>')

    def audio(self, wav: bytes, caption: str) -> None:
        """Add a player of a WAV file, which is kept within the page."""
        data, words = base64.b64encode(wav).decode("ascii"), html.escape(caption)
        player = f'<audio controls src="data:audio/wav;base64,{data}" aria-label="{words}"></audio>'
        self._parts.append(f"<figure>{player}<figcaption>{words}</figcaption></figure>")

    def video(self, mp4: bytes, caption: str) -> None:
        """Add a player of an MP4 file, which is kept within the page; it repeats once started, without sound."""
        data, words = base64.b64encode(mp4).decode("ascii"), html.escape(caption)
        source = f"data:video/mp4;base64,{data}"
        player = f'<video controls loop muted playsinline src="{source}" aria-label="{words}"></video>'
        self._parts.append(f"<figure>{player}<figcaption>{words}</figcaption></figure>")

    def open_details(self, summary: str) -> None:
        """Start a part that the reader unfolds."""
        self._parts.append(f"<details><summary>{html.escape(summary)}</summary>")

    def close_details(self) -> None:
        """End the part that the reader unfolds."""
        self._parts.append("</details>")

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the page; what is there already is replaced only once the new one is complete."""
        path = Path(path)
        page = (
            f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(self.title)}</title>'
            f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>\n<body>\n'
            + "\n".join(self._parts)
            + "\n</body></html>\n"
        )
        partial = path.with_name(path.name + ".part")
        try:
            partial.write_text(page, encoding="utf-8")
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)
        return path
