"""The evaluation of a candidate: a suite of questions, or the user's own command."""
