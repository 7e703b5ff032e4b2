"""An example of a metrics exporter from another author."""
