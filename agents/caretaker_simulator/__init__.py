"""A school fleet that behaves like one, on any clock speed, over the real contract, and that keeps the truth."""
