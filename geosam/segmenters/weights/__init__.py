"""Files of weights: which there are, where they are, how they are downloaded, and how they are read without risk.

From the ground up: `file_kind` recognises a file by its first bytes, `manifest` lists the official checkpoints,
`containers` checks zip archives and safetensors files, `folder` finds and verifies checkpoints, `reading` reads
tensors, `tensor_file` is a file that is read no further than needed, `http` fetches one file, `download` fetches
checkpoints.
"""
