"""An example of a payload cipher from another author."""
