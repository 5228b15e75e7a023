"""Sacred experiments as stages: configs, inputs, identity and reuse, repeats, resumption."""
