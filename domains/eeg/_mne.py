"""MNE-Python, or a sentence on how to get it."""

try:
    import mne
except ImportError:
    raise ImportError('signalrp.domains.eeg needs MNE-Python: pip install "signalrp[eeg]".') from None

__all__ = ["mne"]
