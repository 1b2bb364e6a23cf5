"""Turn labelled scenes into batches of tensors.

From the ground up: `clicks` (simulated clicks and boxes), `target_objects` (objects that a segmenter is asked for),
`crops` (random crops of a picture), `augmentation` (random colours), `batch` (crops into tensors), `picture_cache`
(pictures on disk), `rendered` (synthetic pictures), `labels` (scene and label layer into a picture), `corpus` (the
training sets and the held-out sets), `self_labelled` (pictures labelled by a network), `mixture` (all sets with their
weights), `loader` (batches of every step).
"""
