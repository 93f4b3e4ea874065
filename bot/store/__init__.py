"""Where the rows live, behind the Store port."""
