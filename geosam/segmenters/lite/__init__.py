"""geosam_lite: a small promptable network whose weights come with the package.

From the ground up: `layers` are convolutions with batch norm, `encoder` makes a feature pyramid, `prompt_maps` draws
prompts as maps, `decoder` turns both into masks of a region, `model` holds the network, `weights` reads and writes its
files. `prompt_tensors` clips and stacks prompts, `refinement` finds the window of each object and decodes it,
`mask_set` enlarges logits to masks, `proposals` finds all objects of a tile, `segmenter` puts it behind the protocol,
`loader` loads it, `family` registers it.
"""
