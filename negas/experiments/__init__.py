"""Training and testing with MMEngine's runner, once or as a plan of many runs."""
