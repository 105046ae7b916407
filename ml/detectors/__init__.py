"""One detector a file. Each reads and writes its own fields of a `ml.state.Table`."""
