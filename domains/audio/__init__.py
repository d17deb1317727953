"""Audio: waveforms and spectrograms, what a classifier hears in them, and what masking proves."""
