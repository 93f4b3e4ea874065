"""Times of a channel in its own time zone: quiet hours and the weekly digest. Pure, without knowledge of requests."""
