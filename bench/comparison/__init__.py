"""What happens here and in other engines when something goes wrong."""
