"""The evaluation of a candidate: a suite of questions, or a command of the user's own."""
