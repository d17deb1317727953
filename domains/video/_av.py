"""PyAV, or a sentence on how to get it."""

try:
    import av
except ImportError:
    raise ImportError('signalrp.domains.video needs PyAV: pip install "signalrp[video]".') from None

__all__ = ["av"]
