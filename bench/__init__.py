"""The figures of `spec/nfr.md`, measured as ratios in one run: `python -m bench`."""
