"""The payload cipher of durable-core: XAES-256-GCM."""
