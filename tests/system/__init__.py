"""Tests of the whole program over HTTP, of programs as processes, and of an installation from the templates."""
