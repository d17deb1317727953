"""EEG: from MNE epochs to why a trial was misclassified."""
