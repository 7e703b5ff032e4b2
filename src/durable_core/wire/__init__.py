"""The wire format: payload codec, fingerprints, envelope and integrity chain."""
