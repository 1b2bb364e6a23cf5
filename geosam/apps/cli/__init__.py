"""The command line: every command parses its options, calls one library function and reports."""
