"""Coverage for each test, and mutants of the code that show what no test asserts: `make coverage`, `make mutants`."""
