"""The drawing library, imported without its talk of caches, and with a word of ours where it has no place for one."""

import logging

from telco_stream.errors import UsageError

logging.getLogger("matplotlib").setLevel(logging.ERROR)
try:
    import matplotlib as mpl
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, MaxNLocator
except OSError as error:
    raise UsageError("Drawing charts needs a folder to write to: name one in MPLCONFIGDIR or TMPDIR") from error

__all__ = ["Axes", "Figure", "FigureCanvasSVG", "FuncFormatter", "MaxNLocator", "mpl"]
