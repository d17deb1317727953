"""What must hold before a model sees clips: number of frames, size, frame rate."""

from __future__ import annotations

import xarray as xr


def require(
    signal: xr.DataArray, frames: int | None = None, size: tuple[int, int] | None = None, fps: float | None = None
) -> None:
    """Refuse clips that are not what a model was made for.

    Parameters
    ----------
    signal : xarray.DataArray with the dimensions rgb, frame, row and column
        The clips.
    frames, size, fps
        Number of frames, rows and columns, and frames per second that are expected; None for any.

    Raises
    ------
    ValueError
        If clips lack a dimension, have other colours than three, or differ from what is expected.
    """
    missing = {"rgb", "frame", "row", "column"} - set(signal.dims)
    if missing:
        raise ValueError(
            f"The clips have the dimensions {signal.dims} and lack {', '.join(sorted(missing))}; read them with "
            "signalrp.domains.video.readers, or make them by from_arrays."
        )
    sizes = signal.sizes
    if sizes["rgb"] != 3:
        raise ValueError(f"The clips have {sizes['rgb']} colours where 3 are expected.")
    if frames is not None and sizes["frame"] != frames:
        raise ValueError(
            f"The clips have {sizes['frame']} frames where {frames} are expected; read them with frames={frames}."
        )
    if size is not None and (sizes["row"], sizes["column"]) != tuple(size):
        raise ValueError(
            f"The clips have {sizes['row']} x {sizes['column']} pixels (rows x columns) where {size[0]} x {size[1]} "
            f"are expected; read them with size={tuple(size)}."
        )
    if fps is not None:
        found = float(signal.attrs.get("fps", float("nan")))
        if not abs(found - fps) <= 0.01 * fps:
            raise ValueError(
                f"The clips have {found:g} frames per second where {fps:g} are expected; read them with fps={fps:g}."
            )
