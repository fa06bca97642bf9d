"""What a run leaves to be looked at: records, a line in the terminal, a picture."""

from .look import Look
from .metrics import Callback, MetricsLog, read_metrics
from .picture import plot_loss
from .progress import Progress, progress_bar

__all__ = ["Callback", "Look", "MetricsLog", "Progress", "plot_loss", "progress_bar",
           "read_metrics"]
