"""librosa and soundfile, or a sentence on how to get them."""

try:
    import librosa
    import soundfile
except ImportError:
    raise ImportError(
        'Audio files and mel filters need librosa and soundfile: pip install "signalrp[audio]".'
    ) from None

__all__ = ["librosa", "soundfile"]
