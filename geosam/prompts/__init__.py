"""What a user asks for, from a click to pixels."""
