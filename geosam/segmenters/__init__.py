"""The models behind one protocol, and the names under which they are loaded.

From the ground up: `pixel_prompts` are the input and `masks` the output, `clipped_prompt` is the visible part of a
prompt, `segmenter` has the protocols, `compute` chooses device and precision, `torch_arrays` handles embeddings of
networks, `weights/` reads files of weights, `family` is the value with which a model registers, `network_loader` loads
networks here and in other processes. Then the models: `threshold/` (exact), `regions/` (without weights), `sam/` (the
SAM family), `lite/` (our own network, which enlarges logits as SAM does). `third_party` finds models of other packages,
`registry` loads all, `catalogue` lists them for people.
"""

import os

# Threads that spin while they wait take the processor from the thread that they wait for: beside another busy program,
# networks were ten times slower. OpenMP reads this variable once, when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
