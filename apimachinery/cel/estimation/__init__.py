"""What an expression can cost at most, told from its text and from how large values can be, before it is evaluated."""
