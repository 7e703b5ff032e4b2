"""The command line of durable-core: look at a journal, settle what is open, prove a crash."""
