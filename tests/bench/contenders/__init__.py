"""Whoever takes messages from a broker and stores them: one file each, behind one interface."""
