"""The commands train, evaluate and plot: they parse, call and render."""
