"""What happens when, over the ports. Knows no SDK."""
