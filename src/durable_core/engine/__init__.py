"""The engine: composes, runs and recovers executions."""
